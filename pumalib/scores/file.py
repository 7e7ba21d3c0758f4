"""Scores, or rows to keep, from a file of the user's own. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pumalib.data.pool import Pool, open_pool
from pumalib.errors import DataError
from pumalib.files.artifacts import content_fingerprint
from pumalib.files.origin import NOBODY, Input, Maker, user_role
from pumalib.scores.settings import FileScoreSettings
from pumalib.scores.table import ScoreTable, write_scores

_LISTED = "rows"
"""What a selection file of this library calls the rows that it keeps."""


def score(
    settings: FileScoreSettings, pool_path: Path, path: Path, output: Path, *, digest: str = "", maker: Maker = NOBODY
) -> None:
    """Take the scores of a pool from a file, and store them.

    Args:
        settings: the score's settings.
        pool_path: the pool file.
        path: the file.
        output: the HDF5 file to write.
        digest: of the content of the file.
        maker: the job.

    Raises:
        DataError: the file cannot be read or lacks a column, names a row twice or one that the pool does not have, is
            of another pool, or has scores that are no numbers.
        ArtifactError: a damaged pool.
    """
    pool = open_pool(pool_path)
    columns = _read(path, settings, pool.fingerprint)
    expect_scores(columns, settings, len(pool), path)
    named = columns[settings.rows_by]
    rows = named.astype(np.int64) if settings.rows_by == "row" else _by_file(named, pool, path)
    scores = np.ones(len(rows), np.float32) if settings.column is None else _numbers(columns[settings.column], path)
    filled = np.full(len(pool), np.nan if settings.column is not None else 0, np.float32)
    filled[rows] = scores
    table = ScoreTable(
        score=filled,
        valid=~np.isnan(filled),
        higher_is=settings.higher_is,
        unit="as the file gives it" if settings.column is not None else "1 where the file lists the row",
        method="file",
        pool_fingerprint=pool.fingerprint,
        model_fingerprint=content_fingerprint(filled),
    )
    inputs = {"pool": Input(pool_path, pool.fingerprint), user_role(str(path)): Input(path, digest)}
    write_scores(table, output, maker.origin(settings.model_dump(), inputs))


def _read(path: Path, settings: FileScoreSettings, pool_fingerprint: str | None) -> dict[str, NDArray[Any]]:
    """Read the columns that the settings name, as they stand; without a fingerprint, of whatever pool they are."""
    read = _read_csv if path.suffix == ".csv" else _read_hdf5
    needed = [settings.rows_by, *([settings.column] if settings.column is not None else [])]
    try:
        return read(path, needed, pool_fingerprint)
    except DataError:
        raise
    except Exception as error:  # whatever pandas or HDF5 raise at a file that is none of theirs
        raise DataError(f"expected a file of scores or rows at {path}, reading it failed: {error}") from error


def _read_csv(path: Path, needed: list[str], _: str | None) -> dict[str, NDArray[Any]]:
    # An empty cell is no score; a file may well be called NA.
    unscored = {name: ["", "nan", "NaN"] for name in needed[1:]}
    frame = pd.read_csv(path, dtype={"file": str}, keep_default_na=False, na_values=unscored)
    _expect_columns(list(frame.columns), needed, path)
    return {name: frame[name].to_numpy() for name in needed}


def _read_hdf5(path: Path, needed: list[str], pool_fingerprint: str | None) -> dict[str, NDArray[Any]]:
    with h5py.File(path) as file:
        told = file.attrs.get("pool_fingerprint")
        if told is not None and pool_fingerprint is not None and str(told) != pool_fingerprint:
            raise DataError(
                f"expected scores of pool {pool_fingerprint[:12]}, got a file of pool {str(told)[:12]} at {path}; "
                "name the pool that they are of"
            )
        found = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset) and item.ndim == 1}
        row = next((name for name in ("row", _LISTED) if name in found), None)
        columns = {
            name: _texts(found[name]) if name == "file" else found[name][...] for name in needed if name in found
        }
        if needed[0] == "row" and row is not None:
            columns["row"] = found[row][...]
        elif needed[0] == "row" and len(needed) == 2 and needed[1] in columns:  # all rows, in the order of the pool
            columns["row"] = np.arange(len(columns[needed[1]]))
        _expect_columns([*columns, *found], needed, path, given=columns)
        is_scored = found["valid"][...].astype(bool) if "valid" in found and "score" in needed else None
    return columns if is_scored is None else {name: column[is_scored] for name, column in columns.items()}


def _texts(column: h5py.Dataset) -> NDArray[np.object_]:
    texts: NDArray[np.object_] = column.asstr()[...]
    return texts


def _expect_columns(found: list[str], needed: list[str], path: Path, given: Any = None) -> None:
    missing = [name for name in needed if name not in (found if given is None else given)]
    if missing:
        raise DataError(
            f"expected a column {' and a column '.join(missing)}, got {', '.join(dict.fromkeys(found)) or 'none'} in "
            f"{path}; name another under column or rows_by"
        )


def look(settings: FileScoreSettings, path: Path, num_rows: int | None) -> None:
    """Refuse a file that a pool can take no scores from, before there is a pool.

    Whether the file is of that pool, and whether it names images of it, is not known then.

    Args:
        settings: the score's settings.
        path: the file.
        num_rows: of the pool; None: not known.

    Raises:
        DataError: as `score`.
    """
    expect_scores(_read(path, settings, None), settings, num_rows, path)


def expect_scores(
    columns: dict[str, NDArray[Any]], settings: FileScoreSettings, num_rows: int | None, path: Path
) -> None:
    """Refuse columns of several lengths, rows that are no rows of the pool or stand there twice, and other scores than
    numbers."""
    named = columns[settings.rows_by]
    if any(len(column) != len(named) for column in columns.values()):
        raise DataError(f"expected columns of one length in {path}, got {[len(each) for each in columns.values()]}")
    if settings.rows_by == "row" and len(named):
        _expect_numbers_of_rows(named, num_rows, path)
    names, counts = np.unique(named, return_counts=True)
    if len(names) != len(named):
        raise DataError(f"expected each row once in {path}, got {settings.rows_by} {names[counts > 1][0]} again")
    if settings.column is not None and len(named):
        _numbers(columns[settings.column], path)


def _expect_numbers_of_rows(named: NDArray[Any], num_rows: int | None, path: Path) -> None:
    if not np.issubdtype(named.dtype, np.integer):
        raise DataError(f"expected whole numbers in column row of {path}, got {named.dtype}")
    outside = named[(named < 0) | (named >= (np.inf if num_rows is None else num_rows))]
    if len(outside):
        within = "of at least 0" if num_rows is None else f"in [0, {num_rows})"
        raise DataError(
            f"expected rows {within} of the pool in {path}, got {outside[0]}; rows count from 0, real ones first"
        )


def _by_file(named: NDArray[Any], pool: Pool, path: Path) -> NDArray[np.int64]:
    files = pool.read_files()
    if files is None:
        raise DataError(f"expected a pool whose rows are files, got one without, so rows_by: file cannot be at {path}")
    row_of = {name: row for row, name in enumerate(files) if name}
    if len(row_of) != np.count_nonzero(files):
        raise DataError(
            f"expected a file name of its own for each row of the pool, got some twice; use rows_by: row at {path}"
        )
    unknown = [str(name) for name in named if name not in row_of]
    if unknown:
        raise DataError(
            f"expected names of files of the pool, such as {next(iter(row_of))}, got {unknown[0]} and "
            f"{len(unknown) - 1} more in {path}; write them as `pumalib inspect` shows them"
        )
    return np.array([row_of[name] for name in named], np.int64).reshape(len(named))


def _numbers(column: NDArray[Any], path: Path) -> NDArray[np.float32]:
    """Return the scores of the lines; nan where the file leaves a cell empty."""
    if not len(column):  # a CSV file without a line does not say what its columns hold
        return np.zeros(0, np.float32)
    if column.dtype.kind not in "iuf":
        raise DataError(f"expected numbers as scores in {path}, got {column.dtype}, such as {column[:1].tolist()}")
    with np.errstate(over="ignore"):
        scores: NDArray[np.float32] = column.astype(np.float32)
    if np.isinf(scores).any():
        raise DataError(f"expected finite scores in {path}, got {int(np.isinf(scores).sum())} that float32 cannot hold")
    return scores
