"""The tidy table of errors: `perceptron.csv` and the shards it is joined from. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pumalib.errors import ArtifactError
from pumalib.files.tables import read_table, write_table
from pumalib.perceptron.settings import Metric

COLUMNS = (
    "student",
    "teacher",
    "strategy",
    "kept_fraction",
    "is_filtered",
    "epsilon",
    "alpha",
    "seed",
    "one_minus_overlap",
    "angle_error",
)
"""One line an error; the first eight name it."""

_KEYS = list(COLUMNS[:8])


class Line(NamedTuple):
    """The errors of one curve.

    Attributes:
        strategy: `none`, `pe` or `pd`.
        kept_fraction: in (0, 1].
        alphas: [A], ascending.
        errors: [S, A], one line a seed.
    """

    strategy: str
    kept_fraction: float
    alphas: NDArray[np.float64]
    errors: NDArray[np.float64]


def read_errors(path: str | Path) -> pd.DataFrame:
    """Read a table of errors.

    Raises:
        ArtifactError: missing, or not such a table.
    """
    try:
        table = pd.read_csv(StringIO(read_table(path, "a table of errors")), keep_default_na=False)
    except ValueError as error:
        raise ArtifactError(f"expected a table of errors at {path} ({error}); delete it and run again") from None
    if tuple(table.columns) != COLUMNS:
        raise ArtifactError(
            f"expected the columns {', '.join(COLUMNS)}, got {', '.join(table.columns)} at {path}; "
            "delete it and run again"
        )
    if table.duplicated(_KEYS).any():
        raise ArtifactError(f"expected one line an error, got some twice at {path}; delete it and run again")
    return table


def join_errors(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Join shards in their order."""
    return pd.concat([read_errors(path) for path in paths], ignore_index=True)


def write_errors(table: pd.DataFrame, output: Path) -> None:
    """Write a table of errors, numbers in full precision."""
    write_table(output, table.to_csv(index=False, lineterminator="\n"))


def lines_of(
    table: pd.DataFrame, student: str, teacher: str, epsilon: float, is_filtered: bool, metric: Metric
) -> list[Line]:
    """Return the lines of one figure, in the table's order.

    Raises:
        ArtifactError: the table has none, or lacks a seed at some alpha.
    """
    is_meant = (table["student"] == student) & (table["teacher"] == teacher)
    is_meant &= (table["epsilon"] == epsilon) & (table["is_filtered"] == is_filtered)
    lines = []
    for _, rows in table[is_meant].groupby(["strategy", "kept_fraction"], sort=False):
        strategy, fraction = str(rows["strategy"].iloc[0]), float(rows["kept_fraction"].iloc[0])
        errors = rows.pivot(index="seed", columns="alpha", values=metric)
        if errors.isna().to_numpy().any():
            raise ArtifactError("expected every seed at every alpha in the table of errors; delete it and run again")
        lines.append(Line(strategy, fraction, errors.columns.to_numpy(float), errors.to_numpy(float)))
    if not lines:
        place = f"{student}, {teacher}, epsilon {epsilon:g}, is_filtered {is_filtered}"
        raise ArtifactError(f"expected errors of {place} in the table, found none; delete it and run again")
    return lines


def envelope(lines: Sequence[Line], strategy: str) -> tuple[Line, NDArray[np.float64]]:
    """Return the best that a strategy reaches at each alpha, no pruning included, and the fraction it keeps there.

    The best is the smallest mean over seeds; choosing it on the same seeds flatters it slightly.
    """
    chosen = [line for line in lines if line.strategy in ("none", strategy)]
    best = np.argmin([line.errors.mean(0) for line in chosen], axis=0)
    errors = np.stack([chosen[place].errors[:, column] for column, place in enumerate(best)], axis=1)
    fractions = np.array([chosen[place].kept_fraction for place in best])
    return Line(strategy, float("nan"), chosen[0].alphas, errors), fractions
