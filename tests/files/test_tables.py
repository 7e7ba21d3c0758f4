"""CSV tables with a checksum beside them: what a reader takes, and what it refuses."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumalib.abstraction.table import read_table as read_students
from pumalib.errors import ArtifactError
from pumalib.files.tables import read_table, write_table
from pumalib.perceptron.table import read_errors
from pumalib.reporting.kinds.training_curves import read_histories
from pumalib.reporting.results import read_results
from pumalib.reporting.run_files import RunFile

TEXT = "run,value\n" + "".join(f"run{row},0.{row:03d}\n" for row in range(50))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "a.csv"
    write_table(path, TEXT)
    return path


def test_table_comes_back_and_its_checksum_is_that_of_sha256sum(table: Path) -> None:
    assert read_table(table) == TEXT
    check = ["sha256sum", "--check", f".{table.name}.sha256"]
    told = subprocess.run(check, cwd=table.parent, capture_output=True, text=True, check=True).stdout
    assert told == f"{table.name}: OK\n"
    assert sorted(path.name for path in table.parent.iterdir()) == [".a.csv.sha256", "a.csv"]


@settings(max_examples=200)
@given(place=st.integers(0, len(TEXT) - 1), harm=st.sampled_from(["cut", "flip"]), bit=st.integers(0, 7))
def test_table_that_was_cut_short_or_changed_is_refused(table: Path, place: int, harm: str, bit: int) -> None:
    content = bytearray(TEXT.encode())
    if harm == "cut":
        del content[place:]
    else:
        content[place] ^= 1 << bit
    table.write_bytes(content)
    try:
        with pytest.raises(
            ArtifactError, match=r"expected the table .*a\.csv as it was written, got one that was chan"
        ):
            read_table(table)
    finally:
        table.write_text(TEXT)


def test_table_without_a_checksum_is_not_checked_and_one_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("a\n1\n")
    assert read_table(tmp_path / "own.csv") == "a\n1\n"
    (tmp_path / "own.csv").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(ArtifactError, match="expected a table in UTF-8"):
        read_table(tmp_path / "own.csv")
    with pytest.raises(ArtifactError, match=r"expected a table at .*, got: No such file"):
        read_table(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "read",
    [read_errors, read_students, read_results, lambda path: read_histories([RunFile("run", 0, path)])],
    ids=["perceptron", "abstraction", "results", "history"],
)
def test_every_reader_of_tables_looks_at_the_checksum(tmp_path: Path, read) -> None:
    path = tmp_path / "a.csv"
    write_table(path, TEXT)
    path.write_text(TEXT.replace("0.007", "0.907"))
    with pytest.raises(ArtifactError, match="as it was written, got one that was changed or cut short"):
        read(path)
