"""Scores and kept rows from files of one's own: each form, and what is refused."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from pumalib.data.datasets import prepare_dataset
from pumalib.data.pool import build_pool, open_pool
from pumalib.data.settings import DatasetSettings, DigitsSettings
from pumalib.errors import DataError
from pumalib.scores.file import score
from pumalib.scores.settings import FileScoreSettings, ScoreSettings
from pumalib.scores.table import ScoreTable, read_scores, write_scores
from pumalib.selection.settings import SelectionSettings
from pumalib.selection.stage import make_selection

ROWS = 6


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pool of six digits of two classes, which are no files."""
    return make_pool(
        tmp_path_factory.mktemp("pool"),
        DigitsSettings(source="digits", split="seeded", test_fraction=0.9, train_count=60),
    )


@pytest.fixture(scope="module")
def pool_of_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a pool of six photographs."""
    folder = tmp_path_factory.mktemp("photos")
    for split in ("train", "test"):
        for row in range(ROWS):
            path = folder / split / f"class{row % 2}" / f"{row}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((8, 8), 20 * row, np.uint8)).save(path)
    settings: Any = TypeAdapter(DatasetSettings).validate_python(
        {
            "source": "folder",
            "path": str(folder),
            "channels": 1,
            "image_size": 8,
        }
    )
    return make_pool(folder, settings)


def make_pool(folder: Path, settings: Any) -> Path:
    prepare_dataset(settings, 0, folder, folder / "dataset.h5")
    build_pool(folder / "dataset.h5", None, folder / "pool.h5", {})
    return folder / "pool.h5"


def table_of(pool: Path, file: Path, **settings: Any) -> ScoreTable:
    read: Any = TypeAdapter(ScoreSettings).validate_python({"method": "file", "path": str(file), **settings})
    score(read, pool, file, file.with_name("score.h5"))
    return read_scores(file.with_name("score.h5"), open_pool(pool).fingerprint)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_scores_by_row(pool: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "s.csv", "row,margin,other\n2,0.5,x\n0,-0.25,y\n3,,z\n")
    table = table_of(pool, file, column="margin", higher_is="easier")
    assert table.valid[:5].tolist() == [True, False, True, False, False]
    assert table.score[[0, 2]].tolist() == [-0.25, 0.5]
    assert (table.higher_is, table.method, table.norm) == ("easier", "file", "")


def test_listed_rows_are_kept_by_a_cut(pool: Path, tmp_path: Path) -> None:
    kept = [1, *range(4, 60)]
    file = write(tmp_path / "kept.csv", "row\n" + "\n".join(map(str, kept)) + "\n")
    table = table_of(pool, file)
    assert np.flatnonzero(table.score).tolist() == kept
    assert table.valid.all()
    settings = SelectionSettings.model_validate(
        {
            "prune": [{"by": "kept", "below": 1}],
            "epsilon": {"policy": "fixed"},
            "threat": {"epsilon": 0.1},
            "synthetic_fraction": 0.5,
        }
    )
    make_selection(
        settings, seed=0, pool=pool, scores={"kept": tmp_path / "score.h5"}, output=tmp_path / "selection.h5"
    )
    with h5py.File(tmp_path / "selection.h5") as selection:
        assert selection["rows"][:].tolist() == kept
    again = table_of(pool, tmp_path / "selection.h5")  # a selection of this library is such a list
    assert np.array_equal(again.score, table.score)


def test_an_empty_list_or_file_scores_no_row(pool: Path, tmp_path: Path) -> None:
    listed = table_of(pool, write(tmp_path / "none.csv", "row\n"))
    assert listed.valid.all()
    assert not listed.score.any()
    assert not table_of(pool, write(tmp_path / "empty.csv", "row,loss\n"), column="loss").valid.any()


def test_scores_by_file_name(pool_of_files: Path, tmp_path: Path) -> None:
    names = open_pool(pool_of_files).read_files()
    assert names is not None
    lines = [f"{name},{row}" for row, name in enumerate(names)]
    file = write(tmp_path / "s.csv", "file,loss\n" + "\n".join(reversed(lines)) + "\n")
    table = table_of(pool_of_files, file, column="loss", rows_by="file")
    assert table.score.tolist() == list(range(ROWS))
    with h5py.File(tmp_path / "s.h5", "w") as written:
        written["file"], written["loss"] = list(names[:2]), np.array([7, 8])
    table = table_of(pool_of_files, tmp_path / "s.h5", column="loss", rows_by="file")
    assert table.score[:2].tolist() == [7, 8]
    assert not table.valid[2:].any()


def test_every_row_in_the_order_of_the_pool(pool: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=60)
    with h5py.File(tmp_path / "s.h5", "w") as written:
        written["entropy"] = values
    np.testing.assert_array_equal(table_of(pool, tmp_path / "s.h5", column="entropy").score, values.astype(np.float32))


def test_a_table_of_this_library(pool: Path, tmp_path: Path) -> None:
    valid = np.arange(60) != 3
    scores = np.where(valid, np.arange(60), np.nan).astype(np.float32)
    table = ScoreTable(scores, valid, "easier", "m", "own", open_pool(pool).fingerprint)
    write_scores(table, tmp_path / "table.h5")
    again = table_of(pool, tmp_path / "table.h5", column="score", higher_is="easier")
    np.testing.assert_array_equal(again.score, table.score)
    np.testing.assert_array_equal(again.valid, valid)


@pytest.mark.parametrize(
    ("text", "settings", "message"),
    [
        ("row,loss\n0,1\n0,2\n", {"column": "loss"}, "expected each row once in .*, got row 0 again"),
        ("row,loss\n60,1\n", {"column": "loss"}, r"expected rows in \[0, 60\) of the pool in .*, got 60"),
        ("row,loss\n-1,1\n", {"column": "loss"}, "got -1"),
        ('file\na.png\n""\na.png\n', {"rows_by": "file"}, "expected each row once in .*, got file a.png again"),
        ("row,loss\n1.5,1\n", {"column": "loss"}, "expected whole numbers in column row of .*, got float64"),
        ("row,loss\n1,high\n", {"column": "loss"}, "expected numbers as scores in .*such as"),
        ("row,loss\n1,1e300\n", {"column": "loss"}, "expected finite scores in .*, got 1 that float32 cannot hold"),
        ("row,loss\n1,inf\n", {"column": "loss"}, "expected finite scores"),
        ("row,loss\n1,1\n", {"column": "margin"}, "expected a column margin, got row, loss in"),
        ("number\n1\n", {}, "expected a column row, got number in"),
        ("", {}, "expected a file of scores or rows at .*, reading it failed"),
        ("file\na.png\n", {"rows_by": "file"}, "expected a pool whose rows are files, got one without"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    pool: Path, tmp_path: Path, text: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        table_of(pool, write(tmp_path / "s.csv", text), **settings)
    assert not (tmp_path / "score.h5").exists()


def test_names_that_the_pool_does_not_have_are_refused(pool_of_files: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "s.csv", "file\ntrain/class0/0.png\nclass9/9.png\n")
    with pytest.raises(
        DataError, match=r"expected names of files of the pool, such as train/class0/0.png, got class9/9.png and 0"
    ):
        table_of(pool_of_files, file, rows_by="file")


def test_a_table_of_another_pool_is_refused(pool: Path, tmp_path: Path) -> None:
    table = ScoreTable(np.zeros(60, np.float32), np.ones(60, bool), "easier", "m", "own", "0123456789abcdef")
    write_scores(table, tmp_path / "table.h5")
    with pytest.raises(DataError, match="got a file of pool 0123456789ab"):
        table_of(pool, tmp_path / "table.h5", column="score")


def test_no_hdf5_file_is_refused(pool: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="reading it failed"):
        table_of(pool, write(tmp_path / "s.h5", "row\n1\n"))


def test_other_endings_are_refused_and_a_path_may_hold_the_seed() -> None:
    with pytest.raises(ValidationError, match=r"expected a path that ends in .csv, .h5 or .hdf5, got rows.txt"):
        TypeAdapter(ScoreSettings).validate_python({"method": "file", "path": "rows.txt"})
    assert FileScoreSettings(path="rows{seed}.csv").path_of(3) == "rows3.csv"


def test_an_empty_cell_is_no_score_and_a_file_may_be_called_na(pool_of_files: Path, tmp_path: Path) -> None:
    file = write(tmp_path / "s.csv", "file,loss\nNA,1\n")
    with pytest.raises(DataError, match="got NA and 0 more"):
        table_of(pool_of_files, file, column="loss", rows_by="file")
    file = write(tmp_path / "t.csv", "file,loss\ntrain/class0/0.png,\ntrain/class0/2.png,3\n")
    table = table_of(pool_of_files, file, column="loss", rows_by="file")
    assert table.valid.sum() == 1
    with pytest.raises(DataError, match="expected names of files of the pool"):
        table_of(pool_of_files, write(tmp_path / "u.csv", "file\nNA\n"), rows_by="file")
