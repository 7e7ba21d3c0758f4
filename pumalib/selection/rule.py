"""Pruning rules: functions that see all rows at once, and say which of them stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.randomness import numpy_generator
from pumalib.selection.cuts import CutOutcome


@dataclass(frozen=True)
class RuleRows:
    """What a rule of your own sees of a pool of N rows.

    Attributes:
        count: how many rows to keep.
        labels: [N] int64; None where they were not given.
        source: [N] uint8, 0 real, 1 synthetic; None where it was not given.
        scores: [N] float32 for each name, as the score tables hold them; nan where a row was not scored.
        hardness: [N] float64 for each name: the same scores, turned so that higher is harder.
        generator: random numbers, for rules that draw. They follow from the seed alone.
        num_rows: N.
    """

    count: int
    labels: NDArray[np.int64] | None
    source: NDArray[np.uint8] | None
    scores: Mapping[str, NDArray[np.float32]]
    hardness: Mapping[str, NDArray[np.float64]]
    generator: np.random.Generator
    num_rows: int


@dataclass(frozen=True)
class Rule:
    """One pruning step by a function of yours that sees all rows at once, for `select`.

    Attributes:
        function: called as `function(rows, **options)` with `RuleRows`. It returns the rows to keep, [count] integers
            in any order, each once.
        fraction: share of the rows to remove, in [0, 1).
        scores: [N] float32 for each name, which the function gets.
        hardness: [N] float64 for each name, the same scores turned so that higher is harder.
        options: keyword arguments of the function.
        label: how reports and messages name the rule.

    Example:
        >>> import numpy as np
        >>> from pumalib import select
        >>> def hardest(rows):
        ...     return np.argsort(rows.hardness["margin"])[-rows.count :]
        >>> select(4, [Rule(hardest, fraction=0.5, hardness={"margin": np.array([0.1, 0.5, 0.3, 0.9])})]).rows.tolist()
        [1, 3]
    """

    function: Callable[..., Any]
    fraction: float
    scores: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    hardness: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = "rule"

    @property
    def could_go_by_class(self) -> bool:
        """Whether the scope `per_class` is open to it: never."""
        return False


def apply_rule(
    rule: Rule, num_rows: int, labels: NDArray[np.int64] | None, source: NDArray[np.uint8] | None, seed: int
) -> CutOutcome:
    """Ask a rule which rows of a pool stay.

    Args:
        rule: the rule.
        num_rows: rows of the pool, N.
        labels: [N] int64, or None.
        source: [N] uint8, or None.
        seed: of its random numbers.

    Raises:
        DataError: it returns anything but that many rows of the pool, each once.
        ValueError: a fraction outside [0, 1).
    """
    if not 0 <= rule.fraction < 1:
        raise ValueError(f"expected a pruned fraction in [0, 1), got {rule.fraction}")
    count = num_rows - round(rule.fraction * num_rows)
    generator = numpy_generator(seed, "rule")
    given = RuleRows(count, labels, source, rule.scores, rule.hardness, generator, num_rows)
    kept = _checked(rule.function(given, **rule.options), count, num_rows, rule.label)
    removed = np.ones(num_rows, bool)
    removed[kept] = False
    return CutOutcome(removed, float("nan"))


def _checked(answer: Any, count: int, num_rows: int, label: str) -> NDArray[np.int64]:
    rows = np.asarray(answer)
    if rows.dtype == bool or not np.issubdtype(rows.dtype, np.integer) or rows.shape != (count,):
        raise DataError(
            f"expected {count} rows to keep, as integers [{count}], from {label}, got {rows.dtype} {list(rows.shape)}"
        )
    if count and (rows.min() < 0 or rows.max() >= num_rows):
        raise DataError(
            f"expected rows in [0, {num_rows}) from {label}, got {int(rows.min())}..{int(rows.max())}; "
            "return rows to keep, not their scores"
        )
    if len(np.unique(rows)) != count:
        raise DataError(f"expected each row once from {label}, got {count - len(np.unique(rows))} of {count} again")
    return rows.astype(np.int64)
