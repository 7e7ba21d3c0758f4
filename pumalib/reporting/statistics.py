"""Means and correlations over seeds, with intervals where seeds are independent."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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

MIN_SEEDS_FOR_INTERVAL = 3
"""Seeds below which there is no interval: one from two seeds is 12.7 standard errors wide on each side."""

NO_INTERVAL = "no interval: fewer than 3 seeds"
"""Words where an interval would stand."""

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
    """Mean over seeds, mostly of a difference to a baseline, and its interval (nan for fewer than three seeds)."""

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
    """Return half the two-sided t-interval of a mean over independent seeds that leaves out this share.

    nan below three seeds: there is no interval. Seeds that share test images, or splits that overlap, are not
    independent: `estimates` has what holds there.
    """
    _, deviation, num_seeds = summarise(values)
    if num_seeds < MIN_SEEDS_FOR_INTERVAL:
        return math.nan
    return float(stats.t.isf(left_out / 2, num_seeds - 1)) * deviation / math.sqrt(num_seeds)


def mean_with_interval(values: Sequence[float], num_comparisons: int = 1, confidence: float = 0.95) -> PairedDifference:
    """Return the mean of one value per independent seed with a two-sided Student t interval.

    Bonferroni: each of `num_comparisons` intervals leaves out (1 - confidence) / num_comparisons, so that all of them
    hold together with at least `confidence`.

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


def mean_correlation(correlations: Sequence[float], num_comparisons: int = 1) -> PairedDifference:
    """Return the mean over seeds of a correlation, and its 95 % interval, both by Fisher's z, hence within (-1, 1).

    The t interval is that of atanh(r) over seeds, turned back by tanh; Bonferroni as in `mean_with_interval`. A
    correlation of exactly 1 or -1, or nan, has no z: the mean is then the plain one, and there is no interval.

    Raises:
        DataError: If there is no value.

    Source: Fisher 1921 (Metron 1).
    """
    numbers = np.asarray(correlations, np.float64)
    if not len(numbers):
        raise DataError("expected the correlation of at least one seed, got none")
    if not (np.abs(numbers) < 1).all():
        return PairedDifference(float(numbers.mean()), math.nan, math.nan, len(numbers))
    found = mean_with_interval(np.arctanh(numbers).tolist(), num_comparisons)
    return PairedDifference(math.tanh(found.mean), math.tanh(found.low), math.tanh(found.high), found.num_seeds)


def spread(counts: Iterable[int]) -> str:
    """Return one number if all counts are the same, else their range, e.g. `3 to 5`."""
    numbers = [int(count) for count in counts]
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
