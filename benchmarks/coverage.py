"""How often nominal 95 % intervals hold the truth, simulated: seeds that share test images, and splits that overlap.

Answers are right or wrong. An image has a difficulty that all runs share and one of each run's own; a seed moves the
logits of all images. The truth is the mean over all seeds and images that there could be. Prints Markdown tables, which
docs/statistics.md shows:

    OMP_NUM_THREADS=1 python benchmarks/coverage.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from pumalib.reporting.estimates import Estimate, crossed_difference, crossed_mean, resampled_mean

SEEDS, DEVIATIONS = (3, 5, 10), (0.2, 1.0, 3.0)
SHARED_DIFFICULTY, OWN_DIFFICULTY = 4.0, 1.0
"""Standard deviations of the logit over images: common to all runs, and each run's own."""

TRAIN_SHARES = (0.1, 0.5, 1.0)
"""Shares of the variance over seeds that come from which rows are trained on."""

ROWS, TEST_FRACTION = 1797, 0.33
"""Of scikit-learn's digits, without validation rows: the factor is smaller than that of any study here."""


@dataclass(frozen=True)
class Case:
    """What is simulated.

    Attributes:
        num_seeds, num_images: of each experiment; images are not used where splits overlap.
        deviation: of a run's accuracy from seed to seed, in points.
        mean_logits: of the two runs.
        train_share: share of the seed variance that comes from which rows are trained on; overlapping splits alone.
    """

    num_seeds: int
    num_images: int
    deviation: float
    mean_logits: tuple[float, float] = (1.0, 1.2)
    train_share: float = 0.1


@cache
def true_accuracy(mean_logit: float, seed_deviation: float) -> float:
    """Integrate the chance of a right answer over images and seeds."""
    spread = float(np.sqrt(SHARED_DIFFICULTY**2 + OWN_DIFFICULTY**2 + seed_deviation**2))
    points = np.linspace(-8, 8, 4001)
    return float(np.trapezoid(stats.norm.pdf(points) * expit(mean_logit + spread * points), points))


@cache
def logit_deviation(mean_logit: float, points: float) -> float:
    """Return the deviation of the logit from seed to seed that moves an accuracy by so many points."""
    step = 0.01
    slope = (true_accuracy(mean_logit + step, 0) - true_accuracy(mean_logit - step, 0)) / (2 * step)
    return points / 100 / slope


def shared_test_set(case: Case, generator: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_], float]:
    """Draw whether two runs were right, [S, I] each, and their true difference."""
    shared = SHARED_DIFFICULTY * generator.standard_normal(case.num_images)
    correct, truths = [], []
    for mean_logit in case.mean_logits:
        deviation = logit_deviation(mean_logit, case.deviation)
        own = OWN_DIFFICULTY * generator.standard_normal(case.num_images)
        logits = mean_logit + shared + own + deviation * generator.standard_normal((case.num_seeds, 1))
        correct.append(generator.random(logits.shape) < expit(logits))
        truths.append(true_accuracy(mean_logit, deviation))
    return correct[1], correct[0], truths[1] - truths[0]


def overlapping_splits(case: Case, generator: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """Draw the difference of two runs with each seed, [S], over splits of one set of rows, and the true difference."""
    num_test = round(TEST_FRACTION * ROWS)
    shared = SHARED_DIFFICULTY * generator.standard_normal(ROWS)
    test = np.argsort(generator.random((case.num_seeds, ROWS)), 1)[:, :num_test]
    is_train = np.ones((case.num_seeds, ROWS), bool)
    np.put_along_axis(is_train, test, False, 1)
    accuracies, truths = [], []
    for mean_logit in case.mean_logits:
        deviation = logit_deviation(mean_logit, case.deviation)
        influence = generator.standard_normal(ROWS) / np.sqrt(ROWS - num_test)
        of_rows = np.sqrt(case.train_share) * (is_train @ influence)
        of_seeds = np.sqrt(1 - case.train_share) * generator.standard_normal(case.num_seeds)
        own = OWN_DIFFICULTY * generator.standard_normal(ROWS)
        logits = mean_logit + (shared + own)[test] + deviation * (of_rows + of_seeds)[:, None]
        accuracies.append((generator.random(logits.shape) < expit(logits)).mean(1))
        truths.append(true_accuracy(mean_logit, deviation))
    return accuracies[1] - accuracies[0], truths[1] - truths[0]


def satterthwaite(estimate: Estimate) -> float:
    """Return half of Satterthwaite's interval."""
    return float(stats.t.isf(0.025, estimate.degrees_of_freedom)) * estimate.standard_error


def coverage_of_differences(case: Case, trials: int, generator: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Return coverage and mean width (points) of intervals of a difference, shared test set; of three kinds."""
    found: dict[str, list[tuple[bool, float]]] = {"ours": [], "satterthwaite": [], "plain t": []}
    for _ in range(trials):
        one, other, truth = shared_test_set(case, generator)
        estimate = crossed_difference(one, other)
        low, high = estimate.interval()
        found["ours"].append((low <= truth <= high, high - low))
        by_seed = one.mean(1) - other.mean(1)
        plain = float(stats.t.isf(0.025, case.num_seeds - 1)) * by_seed.std(ddof=1) / np.sqrt(case.num_seeds)
        for name, half in (("satterthwaite", satterthwaite(estimate)), ("plain t", plain)):
            found[name].append((abs(estimate.value - truth) <= half, 2 * half))
    return _means(found)


def coverage_of_means(case: Case, trials: int, generator: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Return coverage and mean width (points) of the interval of one run's accuracy, shared test set."""
    truth = true_accuracy(case.mean_logits[1], logit_deviation(case.mean_logits[1], case.deviation))
    intervals = (crossed_mean(shared_test_set(case, generator)[0]).interval() for _ in range(trials))
    return _means({"ours": [(low <= truth <= high, high - low) for low, high in intervals]})


def coverage_of_splits(case: Case, trials: int, generator: np.random.Generator) -> dict[str, tuple[float, float]]:
    """Return coverage and mean width (points) of intervals of a difference, overlapping splits; of two kinds."""
    num_test = round(TEST_FRACTION * ROWS)
    found: dict[str, list[tuple[bool, float]]] = {"ours": [], "plain t": []}
    for _ in range(trials):
        values, truth = overlapping_splits(case, generator)
        low, high = resampled_mean(values, num_test / (ROWS - num_test), num_test, -1, 1).interval()
        found["ours"].append((low <= truth <= high, high - low))
        plain = float(stats.t.isf(0.025, len(values) - 1)) * values.std(ddof=1) / np.sqrt(len(values))
        found["plain t"].append((abs(values.mean() - truth) <= plain, 2 * plain))
    return _means(found)


def _means(found: dict[str, list[tuple[bool, float]]]) -> dict[str, tuple[float, float]]:
    return {
        name: (float(np.mean([held for held, _ in pairs])), 100 * float(np.mean([width for _, width in pairs])))
        for name, pairs in found.items()
    }


def _cases(num_images: Iterable[int]) -> list[Case]:
    return [Case(seeds, images, deviation) for images in num_images for seeds in SEEDS for deviation in DEVIATIONS]


Measure = Callable[[Case, int, np.random.Generator], dict[str, tuple[float, float]]]


def table(title: str, measure: Measure, cases: Iterable[Case], trials: int, names: tuple[str, ...]) -> str:
    """Return a Markdown table, a row a case: coverage in per cent and mean width in points."""
    lines = [f"| {' | '.join(['seeds', 'images', 'sd (points)', *names])} |", "|--:" * (3 + len(names)) + "|"]
    for place, case in enumerate(cases):
        measured = measure(case, trials, np.random.default_rng([2026, place]))
        cells = [f"{100 * measured[name][0]:.1f} ({measured[name][1]:.2f})" for name in names]
        lines.append(f"| {' | '.join([str(case.num_seeds), str(case.num_images), f'{case.deviation:g}', *cells])} |")
    return "\n".join([title, "", *lines, ""])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=4000)
    trials = parser.parse_args().trials
    print(f"Coverage (%) and mean width (points) of nominal 95 % intervals, {trials} trials per row.\n")
    shared = _cases((500, 2000))
    kinds = ("ours", "satterthwaite", "plain t")
    print(table("Difference of two runs, one test set for all seeds", coverage_of_differences, shared, trials, kinds))
    print(table("Accuracy of one run, one test set for all seeds", coverage_of_means, shared, trials, ("ours",)))
    for share in TRAIN_SHARES:
        splits = [replace(case, train_share=share) for case in _cases((round(TEST_FRACTION * ROWS),))]
        title = f"Difference of two runs, overlapping splits; {100 * share:g} % of the seed variance from train rows"
        print(table(title, coverage_of_splits, splits, trials, kinds[::2]))


if __name__ == "__main__":
    main()
