"""The tidy table of errors: `perceptron.csv` and the shards it is joined from. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pumalib.errors import ArtifactError
from pumalib.files.frames import read_frame
from pumalib.files.tables import write_table
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
    "converged",
    "mislabelled_share",
    "alpha_before",
)
"""One line an error; the first eight name it."""

_KEYS = list(COLUMNS[:8])
_NUMBERS = [name for name in COLUMNS if name not in ("student", "teacher", "strategy", "is_filtered", "converged")]
_NO_ERROR = "nan"
"""What stands for the error of a student that does not exist: `converged` is `infeasible` there."""

_Places = NDArray[np.intp]


class Line(NamedTuple):
    """The errors of one curve.

    Attributes:
        strategy: `none`, `pe` or `pd`.
        kept_fraction: in (0, 1].
        alphas: [A], ascending.
        errors: [S, A], one line per seed; nan where there is no student.
        alphas_before: [A], rows before pruning and the filter over K.
        unfinished: [A], how many of the students did not reach their tolerance.
        mislabelled_share: of the rows that are kept.
    """

    strategy: str
    kept_fraction: float
    alphas: NDArray[np.float64]
    errors: NDArray[np.float64]
    alphas_before: NDArray[np.float64]
    unfinished: NDArray[np.int64]
    mislabelled_share: float


def read_errors(path: str | Path) -> pd.DataFrame:
    """Read a table of errors.

    Raises:
        ArtifactError: missing, or not such a table.
    """
    missing = {metric: [_NO_ERROR] for metric in get_args(Metric)}
    table = read_frame(path, "a table of errors", _NUMBERS, keep_default_na=False, na_values=missing)
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
    write_table(output, table.to_csv(index=False, lineterminator="\n", na_rep=_NO_ERROR))


def lines_of(
    table: pd.DataFrame, student: str, teacher: str, epsilon: float, is_filtered: bool, metric: Metric
) -> list[Line]:
    """Return the lines of one figure, in the table's order.

    Raises:
        ArtifactError: the table has none, or lacks a seed at some alpha.
    """
    is_meant = (table["student"] == student) & (table["teacher"] == teacher)
    is_meant &= (table["epsilon"] == epsilon) & (table["is_filtered"] == is_filtered)
    by_pruning = table[is_meant].groupby(["strategy", "kept_fraction"], sort=False)
    lines = [_line(rows, metric) for _, rows in by_pruning]
    if not lines:
        place = f"{student}, {teacher}, epsilon {epsilon:g}, is_filtered {is_filtered}"
        raise ArtifactError(f"expected errors of {place} in the table, found none; delete it and run again")
    return lines


def _line(rows: pd.DataFrame, metric: Metric) -> Line:
    by_seed = {name: rows.pivot(index="seed", columns="alpha", values=name) for name in (metric, "converged")}
    if by_seed["converged"].isna().to_numpy().any():
        raise ArtifactError("expected every seed at every alpha in the table of errors; delete it and run again")
    first = rows.iloc[0]
    alphas = by_seed[metric].columns.to_numpy(float)
    return Line(
        str(first["strategy"]),
        float(first["kept_fraction"]),
        alphas,
        by_seed[metric].to_numpy(float),
        alphas * float(first["alpha_before"]) / float(first["alpha"]),
        (by_seed["converged"] == "no").to_numpy().sum(0),
        float(first["mislabelled_share"]),
    )


def envelope(lines: Sequence[Line], strategy: str) -> tuple[Line, NDArray[np.float64]]:
    """Return the best that a strategy reaches at each alpha, no pruning included, and the fraction it keeps there.

    The best is the smallest mean over seeds; choosing it on the same seeds flatters it slightly. Lines that lack a
    student are left out where they do; the best is nan, and so is its fraction, where all do.
    """
    chosen = [line for line in lines if line.strategy in ("none", strategy)]
    means = np.array([line.errors.mean(0) for line in chosen])
    errors, best = best_of(means, [line.errors for line in chosen])
    fractions = np.where(best < 0, np.nan, np.array([line.kept_fraction for line in chosen])[best])
    unfinished = np.array([line.unfinished for line in chosen])[best, np.arange(len(best))]
    alphas = chosen[0].alphas
    return Line(strategy, float("nan"), alphas, errors, alphas, unfinished, float("nan")), fractions


def best_of(means: NDArray[np.float64], errors: Sequence[NDArray[np.float64]]) -> tuple[NDArray[np.float64], _Places]:
    """Return the errors [S, A] of the line of the smallest mean [L, A] at each alpha, and its place [A]; -1: none."""
    best = np.where(np.isnan(means).all(0), -1, np.where(np.isnan(means), np.inf, means).argmin(0))
    chosen = np.stack([errors[place][:, column] for column, place in enumerate(best)], axis=1)
    return np.where(best < 0, np.nan, chosen), best
