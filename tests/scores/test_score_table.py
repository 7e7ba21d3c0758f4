from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pumalib.errors import ArtifactError
from pumalib.files.artifacts import create_artifact
from pumalib.files.digests import seal
from pumalib.scores.table import ScoreTable, join_scores, read_scores, write_scores


def a_table(first: int = 0, count: int = 6, **changes: Any) -> ScoreTable:
    rows = np.arange(first, first + count)
    table = ScoreTable(
        score=(rows / 8).astype(np.float32),
        valid=rows != 2,
        higher_is="harder",
        unit="nats",
        method="my:loss",
        pool_fingerprint="the pool",
        model_fingerprint="the model",
        norm="",
        first_row=first,
        columns={"converged": rows % 2 == 0, "iterations": rows * 3},
    )
    return replace(table, **changes)


def written(folder: Path, *tables: ScoreTable) -> list[Path]:
    paths = [folder / f"{index}/scores.h5" for index in range(len(tables))]
    for path, table in zip(paths, tables, strict=True):
        write_scores(table, path)
    return paths


def are_alike(first: ScoreTable, second: ScoreTable) -> bool:
    arrays = [
        (first.score, second.score),
        (first.valid, second.valid),
        *((first.columns[name], second.columns[name]) for name in first.columns),
    ]
    others = ("higher_is", "unit", "method", "pool_fingerprint", "model_fingerprint", "norm", "first_row")
    return (
        all(a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in arrays)
        and set(first.columns) == set(second.columns)
        and all(getattr(first, name) == getattr(second, name) for name in others)
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"columns": {}},
        {"norm": "linf", "higher_is": "easier"},
        {"score": np.full(6, np.nan, np.float32), "valid": np.zeros(6, bool)},
    ],
)
def test_a_table_reads_as_it_was_written(tmp_path: Path, changes: dict[str, Any]) -> None:
    table = a_table(**changes)
    (path,) = written(tmp_path, table)
    assert are_alike(read_scores(path, "the pool"), table)
    assert are_alike(read_scores(path), table)


def test_converged_is_read_from_the_columns(tmp_path: Path) -> None:
    with_it, without = (read_scores(path) for path in written(tmp_path, a_table(), a_table(columns={})))
    assert with_it.converged is not None
    assert with_it.converged.tolist() == [True, False, True, False, True, False]
    assert without.converged is None


def test_bounds_are_read_from_the_columns_and_are_no_searches_cut_short(tmp_path: Path) -> None:
    columns = {"converged": np.arange(6) % 2 == 0, "bounded": np.arange(6) == 3}
    with_them, without = (read_scores(path) for path in written(tmp_path, a_table(columns=columns), a_table()))
    assert np.flatnonzero(with_them.bounded).tolist() == [3]
    assert np.flatnonzero(with_them.cut_short).tolist() == [1, 5]
    assert not without.bounded.any()
    assert np.flatnonzero(without.cut_short).tolist() == [1, 3, 5]
    assert not a_table(columns={}).cut_short.any()


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    first, again = written(tmp_path, a_table(), a_table())
    assert first.read_bytes() == again.read_bytes()


def test_a_table_of_another_pool_or_kind_or_a_missing_one_is_refused(tmp_path: Path) -> None:
    (path,) = written(tmp_path, a_table())
    with pytest.raises(ArtifactError, match="made for another pool"):
        read_scores(path, "another pool")
    with create_artifact(tmp_path / "pool.h5", "pool"):
        pass
    with pytest.raises(ArtifactError, match=r"expected schema puma\.scores, got puma\.pool"):
        read_scores(tmp_path / "pool.h5")
    with pytest.raises(ArtifactError, match="found nothing"):
        read_scores(tmp_path / "missing.h5")


def shorten_valid(file: h5py.File) -> None:
    del file["valid"]
    file["valid"] = np.ones(5, bool)


def shorten_a_column(file: h5py.File) -> None:
    del file["columns/iterations"]
    file["columns/iterations"] = np.arange(4)


def count_the_bounds(file: h5py.File) -> None:
    file["columns/bounded"] = np.arange(6)


def widen_the_scores(file: h5py.File) -> None:
    del file["score"]
    file["score"] = np.zeros(6)


def lose_the_scores(file: h5py.File) -> None:
    del file["score"]


def lose_the_unit(file: h5py.File) -> None:
    del file.attrs["unit"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shorten_valid, r"columns of one length .* got \[5, 6\]"),
        (shorten_a_column, r"columns of one length .* got \[4, 6\]"),
        (count_the_bounds, "expected column 'bounded' as bool, got int64 in"),
        (widen_the_scores, "'score' as float32"),
        (lose_the_scores, "expected dataset 'score'"),
        (lose_the_unit, "readable scores file"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, damage: Callable[[h5py.File], None], message: str) -> None:
    (path,) = written(tmp_path, a_table())
    with h5py.File(path, "r+") as file:
        damage(file)
    seal(path)
    with pytest.raises(ArtifactError, match=message):
        read_scores(path)


def read(paths: list[Path]) -> dict[Path, ScoreTable]:
    return {path: read_scores(path, "the pool") for path in paths}


@pytest.mark.parametrize("sizes", [[6], [1, 5], [2, 2, 2], [3, 0, 3]])
def test_joined_shards_are_the_whole_table(tmp_path: Path, sizes: list[int]) -> None:
    firsts = np.cumsum([0, *sizes[:-1]]).tolist()
    paths = written(tmp_path, *(a_table(first, count) for first, count in zip(firsts, sizes, strict=True)))
    assert are_alike(join_scores(read(paths), 6), a_table())


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([a_table(0, 2), a_table(3, 3)], "starts at row 2, got one that starts at 3"),
        ([a_table(0, 3), a_table(2, 4)], "starts at row 3, got one that starts at 2"),
        ([a_table(3, 3), a_table(0, 3)], "starts at row 0, got one that starts at 3"),
        ([a_table(0, 3), a_table(0, 3)], "starts at row 3, got one that starts at 0"),
        ([a_table(0, 3)], "expected 6 scored rows, got 3 in 1 shards"),
        ([a_table(0, 3), a_table(3, 5)], "expected 6 scored rows, got 8 in 2 shards"),
        ([], "expected 6 scored rows, got 0 in 0 shards"),
        ([a_table(0, 3), a_table(3, 3, model_fingerprint="another")], "another model, method or set of columns"),
        ([a_table(0, 3), a_table(3, 3, method="deepfool")], "another model, method or set of columns"),
        ([a_table(0, 3), a_table(3, 3, norm="l2")], "another model, method or set of columns"),
        ([a_table(0, 3), a_table(3, 3, higher_is="easier")], "another model, method or set of columns"),
        ([a_table(0, 3), a_table(3, 3, columns={})], "another model, method or set of columns"),
        ([a_table(0, 3), a_table(3, 3, pool_fingerprint="another")], "made for another pool"),
    ],
)
def test_shards_that_do_not_make_a_whole_are_refused(tmp_path: Path, tables: list[ScoreTable], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        join_scores(read(written(tmp_path, *tables)), 6)


@pytest.mark.parametrize("name", ["held_back_agreement", "held_back_error"])
@pytest.mark.parametrize("value", [-1.5, float("nan"), float("inf"), "much", np.array([0.5, 0.5])])
def test_what_rows_held_back_cannot_have_come_to_is_refused(tmp_path: Path, name: str, value: Any) -> None:
    told = {"held_back_agreement": 0.9, "held_back_error": 0.1}
    write_scores(a_table(**told), tmp_path / "s.h5")
    assert read_scores(tmp_path / "s.h5").held_back_agreement == 0.9
    with h5py.File(tmp_path / "s.h5", "r+") as file:
        file.attrs[name] = value
    seal(tmp_path / "s.h5")
    with pytest.raises(ArtifactError, match=r"expected a (rank correlation|readable scores file)"):
        read_scores(tmp_path / "s.h5")
