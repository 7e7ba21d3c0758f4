"""Errors against what is drawn rather than what is kept: one pool, pruned as strongly as is best. Imports no torch.

A line keeps one fraction, so its student at alpha has seen a pool of alpha over that fraction. Whether pruning helps
whoever has a pool of some size is asked along that axis: each fraction leaves another alpha of it, and the best
fraction wins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pumalib.perceptron.table import Line, best_of

_SIZES_A_DOUBLING = 2
"""Sizes of a pool that are looked at for each doubling. A choice of ours."""


def pool_sizes(lines: Sequence[Line]) -> NDArray[np.float64]:
    """Return pool sizes over K in even steps on a log axis, from the smallest alpha to the largest pool."""
    low, high = min(lines[0].alphas), max(max(line.alphas_before) for line in lines)
    doublings = np.log2(high / low)
    return np.asarray(low * 2 ** (np.arange(1 + int(_SIZES_A_DOUBLING * doublings + 1e-9)) / _SIZES_A_DOUBLING))


def errors_of_pools(line: Line, sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a line's errors at sizes of a pool, [S, A'], nan outside the sizes that it knows.

    Between two of them the error is a power of the size, which is a choice of ours.
    """
    with np.errstate(divide="ignore"):
        logs = np.log(line.errors)
    places = np.log(line.alphas_before)
    between = np.array([np.interp(np.log(sizes), places, row, left=np.nan, right=np.nan) for row in logs])
    return np.asarray(np.exp(between))


def pool_envelope(lines: Sequence[Line], strategy: str) -> tuple[Line, NDArray[np.float64]]:
    """Return the least error that a strategy reaches with a pool of each size, and the fraction it keeps of it.

    No pruning is one of the choices. A fraction counts where the grid has the alphas that it leaves. A larger pool can
    do no worse than a smaller one, because rows can be left aside at random. Where it does, the grid lacks its best
    fraction, and the error is nan.

    Returns:
        A line whose `alphas` are sizes of the pool over K, and kept fractions; see `table.envelope`.
    """
    chosen = [line for line in lines if line.strategy in ("none", strategy)]
    sizes = pool_sizes(chosen)
    errors = [errors_of_pools(line, sizes) for line in chosen]
    means = np.array([each.mean(0) for each in errors])
    best_errors, best = best_of(means, errors)
    smallest = np.fmin.accumulate(np.append(np.inf, best_errors.mean(0)))[:-1]  # of the smaller pools
    is_known = best_errors.mean(0) <= smallest
    best_errors, best = np.where(is_known, best_errors, np.nan), np.where(is_known, best, -1)
    fractions = np.where(best < 0, np.nan, np.array([line.kept_fraction for line in chosen])[best])
    return Line(strategy, float("nan"), sizes, best_errors, sizes, np.zeros(len(sizes), int), float("nan")), fractions
