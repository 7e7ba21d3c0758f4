"""Two selections of one pool held against each other: the rows that both keep, and how their epsilons go together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumalib.data.pool import SOURCE_NAMES, PoolRows
from pumalib.data.selection import StoredSelection
from pumalib.errors import DataError
from pumalib.reporting.statistics import linear_correlation, rank_correlation


@dataclass(frozen=True)
class Overlap:
    """What two selections have in common.

    Attributes:
        num_rows: of the pool.
        both, only_first, only_second: [R] int64 row numbers each, ascending.
        epsilon_pearson, epsilon_spearman: correlations in [-1, 1] over the rows in both; nan if either has one epsilon
            for all of them.
        mean_epsilon_difference: mean of second minus first over the rows in both, pixel scale; nan without any.
    """

    num_rows: int
    both: NDArray[np.int64]
    only_first: NDArray[np.int64]
    only_second: NDArray[np.int64]
    epsilon_pearson: float
    epsilon_spearman: float
    mean_epsilon_difference: float

    @property
    def jaccard(self) -> float:
        """Rows in both over rows in either."""
        return len(self.both) / (len(self.both) + len(self.only_first) + len(self.only_second))

    @property
    def jaccard_by_chance(self) -> float:
        """What two selections of these sizes have that know nothing of each other (of the mean overlap)."""
        first, second = (len(self.both) + len(part) for part in (self.only_first, self.only_second))
        shared = first * second / self.num_rows
        return shared / (first + second - shared)


def compare_selections(first: StoredSelection, second: StoredSelection) -> Overlap:
    """Compare the rows that two selections of one pool keep, and their epsilons.

    Args:
        first: one selection.
        second: the other one.

    Returns:
        The rows in both and in one alone, and how the epsilons of the rows in both go together.

    Raises:
        DataError: selections of different pools.

    Example:
        >>> from pumalib import read_selection
        >>> names = ("random-20", "puma-20")
        >>> first, second = (read_selection(f"results/digits/selections/{name}/seed0.h5") for name in names)
        >>> overlap = compare_selections(first, second)
        >>> len(overlap.both) + len(overlap.only_first) == len(first.rows)
        True
        >>> 0 < overlap.jaccard < 1
        True
    """
    if first.pool_fingerprint != second.pool_fingerprint:
        raise DataError(different_pools("selections", first.pool_fingerprint, second.pool_fingerprint))
    both, in_first, in_second = np.intersect1d(first.rows, second.rows, assume_unique=True, return_indices=True)
    one, other = first.epsilons[in_first].astype(np.float64), second.epsilons[in_second].astype(np.float64)
    return Overlap(
        num_rows=len(first.reason),
        both=both,
        only_first=np.setdiff1d(first.rows, both, assume_unique=True),
        only_second=np.setdiff1d(second.rows, both, assume_unique=True),
        epsilon_pearson=linear_correlation(one, other),
        epsilon_spearman=rank_correlation(one, other) if len(both) else float("nan"),
        mean_epsilon_difference=float((other - one).mean()) if len(both) else float("nan"),
    )


def different_pools(what: str, first: str, second: str) -> str:
    """Say that two files cannot be held against each other: a row number means another image in another pool."""
    return (
        f"expected two {what} of one pool, got one of pool {first[:12]} and one of pool {second[:12]}; "
        "rows of different pools have nothing in common but their numbers"
    )


def count_by_class(overlap: Overlap, pool: PoolRows) -> list[tuple[str, str, int, int, int]]:
    """Count rows in both, in the first alone and in the second alone, by class and source.

    Returns:
        Lines of class, source, both, only first, only second; of sources that the pool has.
    """
    parts = (overlap.both, overlap.only_first, overlap.only_second)
    lines = []
    for label, name in enumerate(pool.class_names):
        for code in np.unique(pool.source):
            counts = [int(((pool.labels[rows] == label) & (pool.source[rows] == code)).sum()) for rows in parts]
            lines.append((name, SOURCE_NAMES[code], counts[0], counts[1], counts[2]))
    return lines
