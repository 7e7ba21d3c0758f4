"""Means over seeds and differences paired by seed, with what may and may not be claimed from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from pumalib.errors import DataError

NON_INFERIORITY_MARGIN = 0.005
"""Loss of accuracy that still counts as none: 0.5 points. A choice of ours."""

MIN_SEEDS_FOR_CLAIM = 5
"""Seeds below which an interval supports no claim. A choice of ours."""


FEW_SEEDS_WARNING = (
    f"**Warning:** fewer than {MIN_SEEDS_FOR_CLAIM} seeds: too few seeds for a claim. "
    "Read every difference here as a hint."
)


class Summary(NamedTuple):
    """Mean and spread of one metric over seeds."""

    mean: float
    standard_deviation: float
    """With n - 1 in the denominator; nan for one seed."""
    num_seeds: int


class PairedDifference(NamedTuple):
    """Mean over seeds, mostly of a difference to a baseline, and its interval (nan for fewer than two seeds)."""

    mean: float
    low: float
    high: float
    num_seeds: int


def summarise(values: Sequence[float]) -> Summary:
    """Return mean, standard deviation and number of one value per seed, correctly rounded.

    Raises:
        DataError: If there is no value.
    """
    if len(values) == 0:
        raise DataError("expected the value of at least one seed, got none")
    numbers = [float(value) for value in values]
    deviation = stdev(numbers) if len(numbers) > 1 else math.nan
    return Summary(mean(numbers), deviation, len(numbers))


def half_width(values: Sequence[float], left_out: float = 0.05) -> float:
    """Return half the two-sided t-interval of a mean over seeds that leaves out this share; nan for one seed."""
    _, deviation, num_seeds = summarise(values)
    if num_seeds < 2:
        return math.nan
    return float(stats.t.isf(left_out / 2, num_seeds - 1)) * deviation / math.sqrt(num_seeds)


def paired_difference(
    values_by_seed: Mapping[int, float],
    baseline_by_seed: Mapping[int, float],
    num_comparisons: int = 1,
    confidence: float = 0.95,
) -> PairedDifference:
    """Return the mean of value minus baseline, paired by seed, with a Student t interval.

    The interval is two-sided. Bonferroni: each of `num_comparisons` intervals leaves out
    (1 - confidence) / num_comparisons, so that all of them hold together with at least `confidence`.

    Args:
        values_by_seed: One value per seed.
        baseline_by_seed: The baseline's value for the same seeds.
        num_comparisons: Number of intervals that are to hold together.
        confidence: Joint confidence in (0, 1).

    Raises:
        DataError: If a seed is on one side only.
        ValueError: If `num_comparisons` or `confidence` is out of range.
    """
    _refuse_unpaired_seeds(values_by_seed, baseline_by_seed)
    differences = [values_by_seed[seed] - baseline_by_seed[seed] for seed in sorted(values_by_seed)]
    return mean_with_interval(differences, num_comparisons, confidence)


def mean_with_interval(values: Sequence[float], num_comparisons: int = 1, confidence: float = 0.95) -> PairedDifference:
    """Return the mean of one value per seed with a Student t interval, as `paired_difference` does.

    Raises:
        DataError: If there is no value.
        ValueError: If `num_comparisons` or `confidence` is out of range.
    """
    if num_comparisons < 1 or not 0 < confidence < 1:
        raise ValueError(
            f"expected num_comparisons >= 1 and 0 < confidence < 1, got {num_comparisons} and {confidence}"
        )
    center, _, num_seeds = summarise(values)
    half = half_width(values, (1 - confidence) / num_comparisons)
    return PairedDifference(center, center - half, center + half, num_seeds)


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Return Spearman's rank correlation of two columns [N]; nan if either has one value only."""
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(stats.spearmanr(one, other).statistic)


def linear_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Return Pearson's correlation of two columns [N]; nan if either has one value only, or none."""
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if not len(one) or np.ptp(one) == 0 or np.ptp(other) == 0:
        return math.nan
    return float(np.corrcoef(one, other)[0, 1])


def _refuse_unpaired_seeds(values: Mapping[int, float], baseline: Mapping[int, float]) -> None:
    for seeds, side in (
        (baseline.keys() - values.keys(), "run"),
        (values.keys() - baseline.keys(), "baseline"),
    ):
        if seeds:
            raise DataError(
                f"expected the same seeds on both sides, but the {side} lacks seed "
                f"{', '.join(map(str, sorted(seeds)))}; train and attack it with these seeds too"
            )


def is_non_inferior(interval_low: float, margin: float = NON_INFERIORITY_MARGIN) -> bool:
    """Tell whether the interval rules out a loss of `margin` or more; a nan interval rules out nothing."""
    return interval_low > -margin


def verdict(difference: PairedDifference, margin: float = NON_INFERIORITY_MARGIN) -> str:
    """Return "yes", "no" or "cannot be told" for: not worse than the baseline by `margin` or more.

    "no" needs an interval that lies wholly below -margin. Fewer than five seeds tell nothing, either way.
    """
    if difference.num_seeds < MIN_SEEDS_FOR_CLAIM:
        return "cannot be told"
    if is_non_inferior(difference.low, margin):
        return "yes"
    return "no" if difference.high < -margin else "cannot be told"


def spread(counts: Iterable[int]) -> str:
    """Return one number if all counts are the same, else their range, e.g. `3 to 5`."""
    numbers = [int(count) for count in counts]
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
