"""Files that somebody forged, digests and all, before `inspect`, `show`, `compare` and `trace`.

Every attribute and every dataset of each kind of file is changed in each of many ways, seeded, and sealed again. No
traceback, no wait of ten seconds, no half gigabyte, and no changed column that is shown as if nothing were.
"""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forgeries import (
    CSV,
    HDF5,
    MAY_BE_LACKING,
    METADATA,
    MUST_BE_NOTICED,
    TABLES,
    UNREAD,
    WEIGHTS,
    bounded,
    forge,
    forge_weights,
    forgeries_of,
    keys_of,
)

from pumalib.cli.main import main
from pumalib.files.tables import checksum_path


def told(capsys: pytest.CaptureFixture[str], command: list[str]) -> tuple[int, str, str]:
    with bounded():
        status = main(command)
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert "\x1b" not in captured.out + captured.err
    if status != 0:
        assert status == 1
        assert captured.err.startswith("Error: expected") or "problem" in captured.out
        assert len(captured.err.splitlines()) <= 1
    return status, captured.out, captured.err


def commands(path: Path) -> list[list[str]]:
    line = ["--run", "puma", "--attack", "cw", "--metric", "robust_accuracy"]
    return [
        ["inspect", str(path)],
        ["show", str(path), "--count", "2", "--out", "sheet.png"],
        ["compare", str(path), str(path)],
        ["trace", str(path), *(line if path.name == "results.csv" else [])],
    ]


def check(capsys: Any, path: Path, change: Callable[[Path], None], must_be_noticed: bool, names: list[int]) -> None:
    whole = path.read_bytes()
    try:
        change(path)
        statuses = [told(capsys, commands(path)[chosen])[0] for chosen in names]
    finally:
        path.write_bytes(whole)
    if must_be_noticed and 0 in names:
        assert statuses[names.index(0)] == 1


def check_hdf5(capsys: Any, path: Path, forgery: tuple[str, str, str], names: list[int]) -> None:
    what, name, how = forgery
    is_read = not (path.parent.parent.name == "pools" and name in UNREAD) and not name.endswith(("images", "success"))
    may_lack = how == "is not there" and name.partition("/")[0] in MAY_BE_LACKING
    must = what == "dataset" and how in MUST_BE_NOTICED and is_read and not may_lack
    check(capsys, path, lambda forged: forge(forged, *forgery), must, names)


def check_table(capsys: Any, path: Path, how: str, names: list[int]) -> None:
    hidden = checksum_path(path)
    whole, checksum = path.read_bytes(), hidden.read_bytes()
    hidden.unlink()
    try:
        check(capsys, path, lambda forged: forged.write_bytes(TABLES[how](whole)) and None, False, names)
    finally:
        hidden.write_bytes(checksum)


@pytest.mark.parametrize("name", HDF5)
def test_some_forgeries_of_a_file_are_refused_or_read_as_they_are(copied_study: Path, capsys: Any, name: str) -> None:
    path, chance = copied_study / name, random.Random(name)
    for forgery in chance.sample(forgeries_of(path), 4):
        check_hdf5(capsys, path, forgery, [0, chance.randrange(1, 4)])


@pytest.mark.parametrize("name", WEIGHTS)
def test_some_forged_metadata_of_weights_are_refused_or_read_as_they_are(
    copied_study: Path, capsys: Any, name: str
) -> None:
    path, chance = copied_study / name, random.Random(name)
    for key in chance.sample(keys_of(path), 4):
        how = chance.choice(list(METADATA))
        check(capsys, path, lambda forged, key=key, how=how: forge_weights(forged, key, how), False, [0, 3])


@pytest.mark.parametrize("how", TABLES)
def test_forged_tables_are_refused_or_read_as_they_are(copied_study: Path, capsys: Any, how: str) -> None:
    for name in CSV:
        check_table(capsys, copied_study / name, how, [0, 3])


@pytest.mark.slow
@pytest.mark.parametrize("name", HDF5)
def test_every_forgery_of_a_file_is_refused_or_read_as_it_is(copied_study: Path, capsys: Any, name: str) -> None:
    path, chance = copied_study / name, random.Random(name)
    forgeries, passed = forgeries_of(path), []
    assert len(forgeries) >= 75
    for forgery in forgeries:
        try:
            check_hdf5(capsys, path, forgery, [0, chance.randrange(1, 4)])
        except AssertionError as error:
            passed.append((*forgery, str(error).partition("\n")[0]))
    assert passed == []


@pytest.mark.slow
@pytest.mark.parametrize("name", WEIGHTS)
def test_every_forgery_of_metadata_is_refused_or_read_as_it_is(copied_study: Path, capsys: Any, name: str) -> None:
    path = copied_study / name
    for key in keys_of(path):
        for how in METADATA:
            check(capsys, path, lambda forged, key=key, how=how: forge_weights(forged, key, how), False, [0, 3])


def test_head_that_nests_or_reads_without_end_is_damage(copied_study: Path, capsys: Any) -> None:
    path = copied_study / "scores/margin/seed0.h5"
    content = path.read_bytes()[1024:]
    head = json.dumps({"digest": "0" * 64, "without": [[10**17, 10**17 + 5]]}).encode().ljust(1024)
    for start in (b"[" * 1024, head, b'{"digest": 1, "without": [[-5, 2]]}'.ljust(1024)):
        path.write_bytes(start + content)
        status, _, error = told(capsys, ["inspect", str(path)])
        assert status == 1
        assert "damaged" in error


@pytest.mark.parametrize("name", ["table.csv", "file.h5", "study.yaml"])
def test_a_fifo_in_the_place_of_a_file_is_told(tmp_path: Path, capsys: Any, name: str) -> None:
    os.mkfifo(tmp_path / name)
    command = "check" if name.endswith("yaml") else "inspect"
    status, _, error = told(capsys, [command, str(tmp_path / name)])
    assert status == 1
    assert "expected" in error
