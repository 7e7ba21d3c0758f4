"""Nominal 95 % intervals hold the truth at least 93 times of 100: simulated images, seeds and splits, fixed seeds."""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pumalib.reporting.estimates import crossed_mean, resampled_mean

ROOT = Path(__file__).parents[2]
LEAST = 0.93


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    """Load the simulation that docs/statistics.md shows."""
    spec = importlib.util.spec_from_file_location("coverage_of_intervals", ROOT / "benchmarks/coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("measure", ["coverage_of_differences", "coverage_of_means", "coverage_of_splits"])
@pytest.mark.parametrize(("num_seeds", "deviation"), [(3, 3.0), (5, 0.2)])
def test_a_small_sample_of_intervals_covers_the_truth(
    measure: str, num_seeds: int, deviation: float, coverage: ModuleType
) -> None:
    trials = 200
    found = getattr(coverage, measure)(
        coverage.Case(num_seeds, 300, deviation), trials, np.random.default_rng(num_seeds)
    )
    assert found["ours"][0] >= LEAST - 3 * math.sqrt(LEAST * (1 - LEAST) / trials)


@pytest.mark.slow
@pytest.mark.parametrize("measure", ["coverage_of_differences", "coverage_of_means", "coverage_of_splits"])
@pytest.mark.parametrize("num_seeds", [3, 5, 10])
@pytest.mark.parametrize("deviation", [0.2, 1.0, 3.0])
def test_intervals_cover_the_truth_at_least_93_times_of_100(
    measure: str, num_seeds: int, deviation: float, coverage: ModuleType
) -> None:
    found = getattr(coverage, measure)(coverage.Case(num_seeds, 500, deviation), 2000, np.random.default_rng(2026))
    assert found["ours"][0] >= LEAST


def test_intervals_of_one_model_whatever_the_seed_cover_the_truth() -> None:
    """Images are right with chance 0.8; each seed tests on its own 30 % of them, or all on one test set."""
    trials, rng, count = 500, np.random.default_rng(1), 540
    held = np.zeros(2)
    for _ in range(trials):
        right = rng.random(1800) < 0.8
        splits = [rng.permutation(right)[:count].mean() for _ in range(5)]
        intervals = resampled_mean(splits, 0.3 / 0.7, count), crossed_mean(np.tile(right[:count], (5, 1)))
        held += [low <= 0.8 <= high for low, high in (each.interval() for each in intervals)]
    assert (held / trials >= LEAST).all()


@pytest.mark.slow
def test_overlapping_splits_are_covered_up_to_half_of_the_seed_variance_from_train_rows_and_not_beyond(
    coverage: ModuleType,
) -> None:
    for share, covers in ((0.5, True), (1.0, False)):
        case = coverage.Case(5, 593, 3.0, train_share=share)
        found = coverage.coverage_of_splits(case, 2000, np.random.default_rng(2026))
        assert (found["ours"][0] >= LEAST) == covers


@pytest.mark.slow
def test_satterthwaites_interval_covers_less_where_seeds_outweigh_images(coverage: ModuleType) -> None:
    found = coverage.coverage_of_differences(coverage.Case(3, 2000, 1.0), 2000, np.random.default_rng(2026))
    assert found["satterthwaite"][0] < LEAST <= found["ours"][0]


def test_the_simulated_runs_differ_from_seed_to_seed_as_much_as_they_should(coverage: ModuleType) -> None:
    """Few images would add noise of their own: with 40,000 the deviation over seeds is what was asked for."""
    case = coverage.Case(200, 40_000, 1.0)
    correct, _, _ = coverage.shared_test_set(case, np.random.default_rng(0))
    assert 100 * correct.mean(1).std(ddof=1) == pytest.approx(1.0, rel=0.2)
    assert correct.mean() == pytest.approx(coverage.true_accuracy(case.mean_logits[1], 0), abs=0.01)
