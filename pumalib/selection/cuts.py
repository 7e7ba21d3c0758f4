"""Cuts: which rows of a pool to keep."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pumalib.errors import DataError
from pumalib.randomness import numpy_generator
from pumalib.selection.bounds import undecided
from pumalib.selection.thresholds import THRESHOLDS, beyond

KEPT = -1

_SIDES = ("easiest", "hardest", "extremes")


@dataclass(frozen=True)
class Cut:
    """One pruning step along a score, for `select`.

    Give exactly one of `fraction`, `below`, `at_most`, `at_least` and `above`. `select` raises the errors.

    Attributes:
        score: [N] numbers, one for each row; None: a random cut.
        drop: which side goes: `easiest`, `hardest`, or half from each end, `extremes`. Needed with a fraction of a
            score.
        fraction: share of the rows of the scope to remove, in [0, 1).
        below, at_most, at_least, above: remove the rows whose score is so, in units of the score.
        higher_is: whether a higher score means that a row is `easier` or `harder`. A higher margin is easier.
        scope: what `fraction` is a share of: all rows (`union`), or each source or class (`per_source`, `per_class`).
        valid: [N] bool, rows that were scored; None: all. Other rows are never removed by this cut.
        converged: [N] bool, rows whose score is a value rather than a bound; None: all. If others go, a warning says
            so.
        bounded: [N] bool, rows whose true score is their score or farther from 0, in an order that is not known; None:
            none. A cut that would have to know more is refused.
        tie_hardness: [N] numbers, higher is harder. They decide among rows of equal score where a fraction cuts; rows
            with NaN go last. What is still tied is drawn at random; None: all ties are.
        tie_bounded: [N] bool, as `bounded`, of `tie_hardness`.
        label: how reports and messages name the cut.

    Example:
        >>> from pumalib import select
        >>> margins = [0.1, 0.5, 0.3, 0.9]
        >>> select(4, [Cut(margins, drop="easiest", fraction=0.5)]).rows.tolist()
        [0, 2]
        >>> select(4, [Cut(margins, above=0.6)]).rows.tolist()
        [0, 1, 2]
    """

    score: ArrayLike | None
    drop: Literal["easiest", "hardest", "extremes"] | None = None
    fraction: float | None = None
    below: float | None = None
    at_most: float | None = None
    at_least: float | None = None
    above: float | None = None
    higher_is: Literal["easier", "harder"] = "easier"
    scope: Literal["union", "per_source", "per_class"] = "union"
    valid: ArrayLike | None = None
    converged: ArrayLike | None = None
    bounded: ArrayLike | None = None
    tie_hardness: ArrayLike | None = None
    tie_bounded: ArrayLike | None = None
    label: str = ""

    @property
    def could_go_by_class(self) -> bool:
        """Whether the scope `per_class` is open to it, and not taken: of a fraction alone."""
        return self.fraction is not None and self.scope != "per_class"


@dataclass(frozen=True)
class CutOutcome:
    """What one cut removed.

    Attributes:
        removed: [N] bool.
        value: the threshold, or the score of the last row that a fraction of the union removed; nan where there is
            neither.
        warning: something that you should know; "": nothing.
    """

    removed: NDArray[np.bool_]
    value: float
    warning: str = ""


def apply_cut(
    cut: Cut, num_rows: int, labels: NDArray[np.int64] | None, source: NDArray[np.uint8] | None, seed: int
) -> CutOutcome:
    """Apply one cut to a pool.

    Args:
        cut: the cut.
        num_rows: rows of the pool, N.
        labels: [N] int64, needed by scope `per_class`.
        source: [N] uint8, needed by scope `per_source`.
        seed: draws a random cut, and among ties.

    Raises:
        DataError: the score has another number of rows, NaN among its valid rows, or too few valid rows; or the cut
            falls among bounded rows.
        ValueError: an impossible cut.
    """
    _check_cut(cut)
    if cut.score is None:
        score: NDArray[np.floating] = _random_keys(num_rows, seed)
        valid = np.ones(num_rows, bool)
    else:
        score, valid = _checked_score(cut, num_rows)  # [N], [N]
    if cut.fraction is None:
        return _apply_threshold(cut, valid)
    draw = cache(partial(_random_keys, num_rows, seed))  # seldom needed
    # Signed so that the highest ease always goes first, whichever side is dropped.
    ease = score if (cut.higher_is == "easier") == (cut.drop != "hardest") else -score  # [N]
    ranks = (_Ranks(ease, _mask(cut.bounded, num_rows)), *_tie_ranks(cut, num_rows))
    removed = np.zeros(num_rows, bool)
    # The count is a share of the whole group, scored or not. Groups are disjoint, so a turn never undoes another.
    for size, scored in _groups(cut.scope, valid, labels, source):
        count = round(cut.fraction * size)
        _check_count(count, len(scored), cut.label)
        easiest = count if cut.drop != "extremes" else count // 2
        removed[_first_to_go(scored, easiest, ranks, draw, cut.label)] = True
        if easiest < count:
            others, turned = scored[~removed[scored]], tuple(rank.turned() for rank in ranks)
            removed[_first_to_go(others, count - easiest, turned, draw, cut.label)] = True
    value = _last_value(cut, score, ease, removed)
    return CutOutcome(removed, value, _bound_warning(cut, removed))


def _check_cut(cut: Cut) -> None:
    thresholds = {name: getattr(cut, name) for name in ("fraction", "below", "at_most", "at_least", "above")}
    given = [name for name, value in thresholds.items() if value is not None]
    if len(given) != 1:
        raise ValueError(f"expected exactly one of {', '.join(thresholds)}, got {', '.join(given) or 'none'}")
    if cut.fraction is not None and not 0 <= cut.fraction < 1:
        raise ValueError(f"expected a pruned fraction in [0, 1), got {cut.fraction}")
    if cut.score is None and cut.fraction is None:
        raise ValueError(f"expected a fraction for a random cut, got {given[0]}")
    if cut.score is not None and cut.fraction is not None and cut.drop not in _SIDES:
        raise ValueError(f"expected drop 'easiest', 'hardest' or 'extremes', got {cut.drop!r}")
    if cut.drop == "extremes" and cut.fraction is None:
        raise ValueError(f"expected a fraction with drop 'extremes', got {given[0]}")
    if any(value is not None and math.isnan(value) for value in thresholds.values()):
        raise ValueError(f"expected a number as {given[0]}, got NaN")
    if cut.scope not in ("union", "per_source", "per_class"):
        raise ValueError(f"expected scope 'union', 'per_source' or 'per_class', got {cut.scope!r}")
    if cut.higher_is not in ("easier", "harder"):
        raise ValueError(f"expected higher_is 'easier' or 'harder', got {cut.higher_is!r}")


def _checked_score(cut: Cut, num_rows: int) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    given = np.asarray(cut.score)
    score = given if np.issubdtype(given.dtype, np.floating) else given.astype(np.float64)
    valid = np.ones(num_rows, bool) if cut.valid is None else np.asarray(cut.valid, bool)
    columns = {
        "score": score,
        "valid": valid,
        "converged": valid if cut.converged is None else np.asarray(cut.converged),
        "bounded": valid if cut.bounded is None else np.asarray(cut.bounded),
    }
    for name, column in columns.items():
        _check_length(name, column, num_rows, cut.label)
    if np.isnan(score[valid]).any():
        raise DataError(
            f"expected scores without NaN, got {int(np.isnan(score[valid]).sum())} in cut {cut.label!r}; "
            "mark rows without a score in valid"
        )
    return score, valid


def _check_length(name: str, column: NDArray[Any], num_rows: int, label: str) -> None:
    if column.shape != (num_rows,):
        raise DataError(f"expected {num_rows} entries, one per row, got {column.shape} in {name} of cut {label!r}")


def _apply_threshold(cut: Cut, valid: NDArray[np.bool_]) -> CutOutcome:
    name = next(name for name in THRESHOLDS if getattr(cut, name) is not None)
    side = dropped_side(name, cut.higher_is)
    if cut.drop is not None and cut.drop != side:
        raise ValueError(f"expected drop: {side} with {name} (higher is {cut.higher_is}), got {cut.drop}")
    value = float(getattr(cut, name))
    if cut.bounded is not None and (
        count := int((undecided(np.asarray(cut.score), cut.bounded, name, value) & valid).sum())
    ):
        raise DataError(
            f"expected every row on one side of cut {cut.label!r}, got {count} whose score is a bound short of it; "
            "raise up_to of the score, or leave it out"
        )
    removed = beyond(np.asarray(cut.score), name, value) & valid  # [N]
    return CutOutcome(removed, value, _bound_warning(cut, removed))


def dropped_side(threshold: str, higher_is: Literal["easier", "harder"]) -> Literal["easiest", "hardest"]:
    """Return which side a threshold removes."""
    drops_high = threshold in ("at_least", "above")
    return "easiest" if drops_high == (higher_is == "easier") else "hardest"


def _random_keys(num_rows: int, seed: int) -> NDArray[np.float64]:
    """Return a number in [0, 1) for each row: to draw by, in time linear in the rows, which a shuffle's is not."""
    return numpy_generator(seed, "cut").random(num_rows)


def _groups(
    scope: str, valid: NDArray[np.bool_], labels: NDArray[np.int64] | None, source: NDArray[np.uint8] | None
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield how many rows each group of a scope has, and its scored rows."""
    if scope == "union":
        yield len(valid), np.flatnonzero(valid)
        return
    keys = labels if scope == "per_class" else source
    if keys is None:
        raise ValueError(f"expected {'labels' if scope == 'per_class' else 'source'} for scope {scope}, got None")
    for key in np.unique(keys):
        is_member = keys == key
        yield int(np.count_nonzero(is_member)), np.flatnonzero(is_member & valid)


def _check_count(count: int, num_scored: int, label: str) -> None:
    if count > num_scored:
        raise DataError(
            f"expected at least {count} scored rows for cut {label!r}, got {num_scored}; "
            "lower its fraction, or score more rows"
        )


class _Ranks(NamedTuple):
    """What orders rows: the highest ease goes first. The order of bounded rows is not known."""

    ease: NDArray[np.floating]
    bounded: NDArray[np.bool_]

    def turned(self) -> _Ranks:
        """Return the other way round, in which rows without a number still go last."""
        return _Ranks(np.where(np.isneginf(self.ease), -np.inf, -self.ease), self.bounded)


def _mask(given: ArrayLike | None, num_rows: int) -> NDArray[np.bool_]:
    return np.zeros(num_rows, bool) if given is None else np.asarray(given, bool)


def _tie_ranks(cut: Cut, num_rows: int) -> tuple[_Ranks, ...]:
    """Return what decides among tied rows; nothing where chance alone does."""
    if cut.tie_hardness is None:
        return ()
    hardness = np.asarray(cut.tie_hardness, np.float64)
    _check_length("tie_hardness", hardness, num_rows, cut.label)
    ease = np.where(np.isnan(hardness), -np.inf, hardness if cut.drop == "hardest" else -hardness)
    return (_Ranks(ease, _mask(cut.tie_bounded, num_rows)),)


def _first_to_go(
    rows: NDArray[np.int64],
    count: int,
    ranks: Sequence[_Ranks],
    draw: Callable[[], NDArray[np.float64]],
    label: str,
) -> NDArray[np.int64]:
    """Return so many of the rows, those with the highest ease; among equals the next ease decides, at last chance."""
    if count in (0, len(rows)):
        return rows[:count]
    if not ranks:
        # Keys are of the pool, not of the group, so a tie is broken alike in every scope.
        return rows[np.argpartition(draw()[rows], count)[:count]]  # [count]
    values = ranks[0].ease[rows]  # [len(rows)]
    boundary = np.partition(values, len(values) - count)[len(values) - count]  # the count-th highest
    # Rows above the boundary all go. There are fewer than `count` of them, so ties always fill up the rest.
    above, tied = rows[values > boundary], rows[values == boundary]
    missing = count - len(above)
    _expect_order(ranks[0].bounded[tied], missing, label)
    return np.concatenate([above, _first_to_go(tied, missing, ranks[1:], draw, label)])


def _expect_order(bounded: NDArray[np.bool_], count: int, label: str) -> None:
    """Refuse to take some of the rows that are tied because their score is a bound: which go is not known."""
    if bounded.any() and count < len(bounded):
        raise DataError(
            f"expected cut {label!r} to take all or none of the {len(bounded)} rows whose score is the same bound, got "
            f"{count} to take, and no order among them; raise up_to of the score, or leave it out"
        )


def _last_value(cut: Cut, score: NDArray[np.floating], ease: NDArray[np.floating], removed: NDArray[np.bool_]) -> float:
    if cut.score is None or cut.scope != "union" or cut.drop == "extremes" or not removed.any():
        return float("nan")
    rows = np.flatnonzero(removed)
    # The last one to go has the lowest ease; its score may be the lowest or the highest of those removed.
    return float(score[rows[np.argmin(ease[rows])]])


def _bound_warning(cut: Cut, removed: NDArray[np.bool_]) -> str:
    if cut.converged is None:
        return ""
    count = int((removed & ~np.asarray(cut.converged, bool) & ~_mask(cut.bounded, len(removed))).sum())
    return f"{count} rows removed by {cut.label!r} did not converge: their score is a bound" if count else ""


def combine(outcomes: Sequence[CutOutcome], num_rows: int) -> NDArray[np.int16]:
    """Return, for each row, the number of the first cut that removes it, or -1 where it is kept."""
    reason = np.full(num_rows, KEPT, np.int16)
    # Invariant: `reason` is what the cuts so far say. A row keeps the first cut that removes it.
    for index, outcome in enumerate(outcomes):
        reason[outcome.removed & (reason == KEPT)] = index
    return reason
