"""Coverage-centric coreset selection (Zheng et al. 2023, Algorithm 1).

The hardest rows go first, because they may be mislabelled. The scores of the others are divided into intervals of
equal width, and the rows to keep are spread over these as evenly as they hold rows: from the interval with the fewest
rows on, each gives what it has, or an equal share of what is still to be kept. Within an interval rows are drawn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.selection.rule import RuleRows


def keep(rows: RuleRows, *, hardest: float = 0.0, strata: int = 50) -> NDArray[np.int64]:
    """Return the rows to keep.

    Args:
        rows: of the pool, with one score, of which each row has a value.
        hardest: share of all rows that goes first.
        strata: intervals of equal width.

    Raises:
        DataError: rows without a score.
    """
    (hardness,) = rows.hardness.values()  # [N]
    if np.isnan(hardness).any():
        raise DataError(
            f"expected a score of every row for rule ccs, got none for {int(np.isnan(hardness).sum())} of "
            f"{rows.num_rows}; score the whole pool, or use a cut, which keeps such rows"
        )
    order = rows.generator.permutation(rows.num_rows)  # decides among ties of the hardest, and draws in each stratum
    by_hardness = order[np.argsort(-hardness[order], kind="stable")]
    left = np.sort(by_hardness[round(hardest * rows.num_rows) :])
    place = _strata_of(hardness[left], strata)  # [len(left)]
    budgets = budgets_of(np.bincount(place, minlength=strata), rows.count)
    drawn = order[np.isin(order, left)]
    stratum = np.zeros(rows.num_rows, np.int64)
    stratum[left] = place
    kept = [drawn[stratum[drawn] == number][:budget] for number, budget in enumerate(budgets)]
    return np.sort(np.concatenate(kept))


def _strata_of(hardness: NDArray[np.float64], strata: int) -> NDArray[np.int64]:
    """Return the interval of each row; the highest score lies in the last one."""
    lowest, width = hardness.min(), np.ptp(hardness)
    if width == 0:
        return np.zeros(len(hardness), np.int64)
    places: NDArray[np.int64] = np.minimum((hardness - lowest) / width * strata, strata - 1).astype(np.int64)
    return places


def budgets_of(sizes: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Return how many rows each stratum gives.

    Args:
        sizes: [S] rows of each stratum.
        count: rows to keep, at most their sum.
    """
    budgets = np.zeros(len(sizes), np.int64)
    missing = count
    # Invariant: the strata still to come hold at least as many rows as are missing.
    for turn, stratum in enumerate(np.argsort(sizes, kind="stable")):
        budgets[stratum] = min(sizes[stratum], missing // (len(sizes) - turn))
        missing -= budgets[stratum]
    return budgets
