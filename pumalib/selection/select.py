"""Selecting: the rows that stay, and the epsilon of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pumalib.data.arrays import as_array, as_labels, as_sources
from pumalib.errors import DataError
from pumalib.randomness import derive_seed
from pumalib.selection.cuts import KEPT, Cut, CutOutcome, apply_cut, combine
from pumalib.selection.rule import Rule, apply_rule


@dataclass(frozen=True)
class Selection:
    """The rows that are kept, in the order of the pool, and their epsilons.

    Attributes:
        rows: [K] int64, ascending.
        epsilons: [K] float32, pixel scale, may be negative.
        reason: [N] int16, number of the cut that removed the row, -1 where it is kept.
        outcomes: what each cut did.
    """

    rows: NDArray[np.int64]
    epsilons: NDArray[np.float32]
    reason: NDArray[np.int16]
    outcomes: tuple[CutOutcome, ...] = ()

    @property
    def pruned_fraction(self) -> float:
        """Rows removed over rows in the pool."""
        return 1 - len(self.rows) / len(self.reason)


def select(
    num_rows: int,
    cuts: Sequence[Cut | Rule] = (),
    epsilons: ArrayLike | float = 8 / 255,
    seed: int = 0,
    *,
    labels: ArrayLike | None = None,
    source: ArrayLike | None = None,
) -> Selection:
    """Apply cuts to a pool, and keep the rows that stay with their epsilons.

    Args:
        num_rows: rows of the pool, N.
        cuts: cuts along a score, and rules. Each is computed on the whole pool; a row goes if any of them removes it.
        epsilons: [N] one for each row, or one number for all; pixel scale.
        seed: breaks ties (each cut has its own random numbers) and draws random cuts.
        labels: [N] integers, needed by scope `per_class`. If given, a class that loses all its rows is an error.
        source: [N] integers, 0 real, 1 synthetic; needed by scope `per_source`.

    Returns:
        The K rows that stay, their epsilons, and which cut removed each of the others.

    Raises:
        DataError: another number of rows, a class without rows, nothing left, a cut among bounded rows, or a rule that
            returns other rows than it was asked for.
        ValueError: a cut that is impossible, such as one with a fraction of 1.

    Example:
        >>> from pumalib import Cut
        >>> selection = select(5, [Cut([0.1, 0.5, 0.3, 0.9, 0.2], drop="easiest", fraction=0.4)], epsilons=0.1)
        >>> selection.rows.tolist()
        [0, 2, 4]
    """
    classes = None if labels is None else as_labels(labels, num_rows)
    sources = None if source is None else as_sources(source, num_rows)
    radii = _epsilons(epsilons, num_rows)
    outcomes = tuple(
        _outcome(cut, num_rows, classes, sources, derive_seed(seed, "cut", index)) for index, cut in enumerate(cuts)
    )
    reason = combine(outcomes, num_rows)
    rows = np.flatnonzero(reason == KEPT).astype(np.int64)
    _check_kept(rows, classes, cuts)
    return Selection(rows, radii[rows], reason, outcomes)


def _outcome(
    cut: Cut | Rule, num_rows: int, labels: NDArray[np.int64] | None, source: NDArray[np.uint8] | None, seed: int
) -> CutOutcome:
    if isinstance(cut, Rule):
        return apply_rule(cut, num_rows, labels, source, seed)
    return apply_cut(cut, num_rows, labels, source, seed)


def _epsilons(values: ArrayLike | float, num_rows: int) -> NDArray[np.float32]:
    radii = as_array(values, "epsilons").astype(np.float32)
    if radii.shape not in ((), (num_rows,)):
        raise DataError(f"expected {num_rows} epsilons, one per row, got {radii.shape}")
    if not np.isfinite(radii).all():
        raise DataError(f"expected finite epsilons, got {int((~np.isfinite(radii)).sum())} others")
    return np.broadcast_to(radii, num_rows).copy()


def _check_kept(rows: NDArray[np.int64], labels: NDArray[np.int64] | None, cuts: Sequence[Cut | Rule]) -> None:
    if len(rows) == 0:
        raise DataError("expected at least one row to be kept, got none; prune less")
    if labels is None:
        return
    lost = np.setdiff1d(np.unique(labels), np.unique(labels[rows]))
    if len(lost):
        raise DataError(
            f"expected every class to keep a row, got none of class {', '.join(map(str, lost))} after pruning; "
            f"prune less{', or use scope: per_class' if any(cut.could_go_by_class for cut in cuts) else ''}"
        )
