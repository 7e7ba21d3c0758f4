"""Score tables: one schema for every method, so that selecting has no branch a method. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import h5py
import numpy as np
from numpy.typing import NDArray

from pumalib.errors import ArtifactError
from pumalib.files.artifacts import create_artifact, expect_fingerprint, open_artifact, read_array, stored
from pumalib.files.origin import NO_ORIGIN, Origin

HigherIs = Literal["easier", "harder"]
"""Whether a higher score means that a row is easier or harder."""


@dataclass(frozen=True)
class ScoreTable:
    """One score for each row of a pool (or of one shard of it).

    Attributes:
        score: [N] float32, in the unit that `unit` names.
        valid: [N] bool, whether the row was scored.
        columns: further columns of the method, each [N].
        held_back_agreement: where margins are extrapolated, their rank correlation with measured ones that were held
            back; else None.
        held_back_error: there, the mean absolute error of these, as a share of the mean absolute margin; else None.
        higher_is: whether a higher score means easier or harder.
        unit: of the score.
        method: what made it.
        norm: of a margin; "" for other scores.
        pool_fingerprint: the pool it belongs to.
        model_fingerprint: the model it looked through; "" for none.
        first_row: pool row of the first entry: 0, except in shards.
    """

    score: NDArray[np.float32]
    valid: NDArray[np.bool_]
    higher_is: HigherIs
    unit: str
    method: str
    pool_fingerprint: str
    model_fingerprint: str = ""
    norm: str = ""
    first_row: int = 0
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    held_back_agreement: float | None = None
    held_back_error: float | None = None

    @property
    def converged(self) -> NDArray[np.bool_] | None:
        """[N] bool where the method says so, else None."""
        return self.columns.get("converged")

    @property
    def measured(self) -> NDArray[np.bool_]:
        """[N] bool, rows whose score is their own; the others are extrapolated from these."""
        measured: NDArray[np.bool_] | None = self.columns.get("measured")
        return np.ones(len(self.score), bool) if measured is None else measured

    @property
    def bounded(self) -> NDArray[np.bool_]:
        """[N] bool, rows whose score is as far from 0 as was asked for (`up_to`), and their own as far or farther."""
        bounded: NDArray[np.bool_] | None = self.columns.get("bounded")
        return np.zeros(len(self.score), bool) if bounded is None else bounded

    @property
    def cut_short(self) -> NDArray[np.bool_]:
        """[N] bool, rows whose search ended before it found anything; none where the method does not say."""
        return np.zeros(len(self.score), bool) if self.converged is None else ~self.converged & ~self.bounded

    @property
    def hardness(self) -> NDArray[np.float64]:
        """[N], higher is harder; nan where a row was not scored."""
        sign = 1 if self.higher_is == "harder" else -1
        return np.where(self.valid, sign * self.score.astype(np.float64), np.nan)


_ATTRIBUTES = ("higher_is", "unit", "method", "norm", "pool_fingerprint", "model_fingerprint", "first_row")
_HELD_BACK = ("held_back_agreement", "held_back_error")


def _facts(table: ScoreTable) -> list[str]:
    """Return which of the attributes that few tables have this one has."""
    return [name for name in _HELD_BACK if getattr(table, name) is not None]


def write_scores(table: ScoreTable, output: Path, origin: Origin = NO_ORIGIN) -> None:
    """Store a score table."""
    with create_artifact(output, "scores", origin) as file:
        for name in (*_ATTRIBUTES, *_facts(table)):
            file.attrs[name] = getattr(table, name)
        file.create_dataset("score", data=table.score.astype(np.float32))
        file.create_dataset("valid", data=table.valid)
        for name, column in table.columns.items():
            file.create_dataset(f"columns/{name}", data=column)


def read_scores(path: str | Path, pool_fingerprint: str | None = None) -> ScoreTable:
    """Read the scores of a pool.

    Args:
        path: of the score table: `scores/<name>/seed<k>.h5` of a study.
        pool_fingerprint: of the pool that it must belong to; None: any.

    Returns:
        The scores of N rows, and what they mean.

    Raises:
        ArtifactError: missing, damaged, of another kind or pool, or with columns of other lengths.

    Example:
        >>> margins = read_scores("results/digits/scores/margin/seed0.h5")
        >>> margins.higher_is, margins.norm, len(margins.score) == len(margins.valid)
        ('easier', 'linf', True)
    """
    with open_artifact(path, "scores") as file:
        if pool_fingerprint is not None:
            expect_fingerprint(str(file.attrs["pool_fingerprint"]), pool_fingerprint, "pool", path)
        score = read_array(file, "score", np.float32)
        columns = {name: _read_column(file["columns"], name) for name in file.get("columns", {})}
        table = ScoreTable(score=score, valid=read_array(file, "valid", np.bool_), columns=columns, **_attributes(file))
    _expect_booleans(columns, path)
    lengths = {len(column) for column in (table.score, table.valid, *columns.values())}
    if len(lengths) != 1:
        raise ArtifactError(f"expected columns of one length in {path}, got {sorted(lengths)}")
    if table.higher_is not in get_args(HigherIs) or table.first_row < 0 or np.isnan(table.score[table.valid]).any():
        raise ArtifactError(
            f"expected scores of valid rows to be numbers, from a row of at least 0 on, and higher to be easier or "
            f"harder in {path}, got row {table.first_row} and {table.higher_is}; score the pool again"
        )
    _expect_told(table, path)
    return table


def _expect_told(table: ScoreTable, path: str | Path) -> None:
    """Refuse what no margins that were held back can have come to."""
    agreement, error = table.held_back_agreement, table.held_back_error
    if (agreement is not None and not -1 <= agreement <= 1) or (error is not None and not 0 <= error < np.inf):
        raise ArtifactError(
            f"expected a rank correlation in [-1, 1] and an error of at least 0 of rows held back in {path}, got "
            f"{agreement} and {error}; score the pool again"
        )


def _expect_booleans(columns: Mapping[str, NDArray[Any]], path: str | Path) -> None:
    """Refuse marks of rows that are no yes or no."""
    for name in {"bounded", "measured"} & set(columns):
        if columns[name].dtype != np.bool_:
            found = columns[name].dtype
            raise ArtifactError(f"expected column {name!r} as bool, got {found} in {path}; score the pool again")


def _read_column(columns: h5py.Group, name: str) -> NDArray[Any]:
    column = stored(columns, name)
    if column.dtype.kind not in "biuf" or column.ndim != 1:
        raise ArtifactError(
            f"expected column {name!r} as numbers [N], got {column.dtype} {column.shape} in {columns.file.filename}"
        )
    return np.asarray(column[...])


def _attributes(file: h5py.File) -> dict[str, Any]:
    values = {name: file.attrs[name] for name in _ATTRIBUTES}
    told = {name: int(value) if name == "first_row" else str(value) for name, value in values.items()}
    return {**told, **{name: float(file.attrs[name]) for name in _HELD_BACK if name in file.attrs}}


def join_scores(shards: Mapping[Path, ScoreTable], num_rows: int) -> ScoreTable:
    """Join the shards of one score into one table.

    Args:
        shards: tables whose row ranges follow each other, by their files.
        num_rows: rows of the pool.

    Raises:
        ArtifactError: a gap, an overlap, or shards of different models or methods.
    """
    paths, tables = list(shards), list(shards.values())
    expected = 0
    for path, table in shards.items():
        if table.first_row != expected:
            raise ArtifactError(
                f"expected a shard that starts at row {expected}, got one that starts at {table.first_row} at {path}; "
                "score the shards again"
            )
        if _kind(table) != _kind(tables[0]):
            raise ArtifactError(
                f"expected a shard like {paths[0]}, got another model, method or set of columns at {path}; "
                "score the shards again"
            )
        expected += len(table.score)
    if expected != num_rows:
        raise ArtifactError(
            f"expected {num_rows} scored rows, got {expected} in {len(shards)} shards; give all shards, in order"
        )
    first = tables[0]
    return ScoreTable(
        score=np.concatenate([table.score for table in tables]),
        valid=np.concatenate([table.valid for table in tables]),
        columns={name: np.concatenate([table.columns[name] for table in tables]) for name in first.columns},
        **{name: getattr(first, name) for name in (*_ATTRIBUTES, *_facts(first))},
    )


def _kind(table: ScoreTable) -> tuple[object, ...]:
    """Return what the shards of one score have in common."""
    shared = tuple(getattr(table, name) for name in _ATTRIBUTES if name != "first_row")
    return (*shared, sorted((name, column.dtype.str) for name, column in table.columns.items()))
