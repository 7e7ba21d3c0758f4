"""An export on a disk that is full: one sentence, and nothing half-written. Needs root, to mount a disk."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumalib.cli.main import main
from pumalib.errors import ResourceError
from pumalib.files.folders import writing_folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 32 KiB."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(mounted)], check=True)
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")
@pytest.mark.parametrize(("form", "name"), [("npz", "kept.npz"), ("folder", "kept"), ("csv", "rows.csv")])
def test_a_full_disk_is_told_and_leaves_nothing(
    photographs: Path, disk: Path, capsys: pytest.CaptureFixture[str], form: str, name: str
) -> None:
    (disk / "other").write_bytes(bytes(32 << 10 if form == "csv" else 24 << 10))
    selection = photographs / "selections/mine/seed0.h5"
    assert main(["export", str(selection), "--to", form, "--out", str(disk / name)]) == 1
    assert "make room" in capsys.readouterr().err
    assert [path.name for path in disk.iterdir()] == ["other"]


def test_a_folder_appears_whole_and_takes_what_a_kill_left(tmp_path: Path) -> None:
    left = tmp_path / ".kept.1.part"
    left.mkdir()
    (left / "file").write_text("half")
    with writing_folder(tmp_path / "kept") as temporary:
        (temporary / "file").write_text("whole")
        assert not (tmp_path / "kept").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept/file").read_text() == "whole"


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError), writing_folder(tmp_path / "kept") as temporary:
        temporary.write_text("a folder takes no text")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = r"expected to write .*/file/kept, got: Not a directory; change the owner"
    with pytest.raises(ResourceError, match=told), writing_folder(tmp_path / "file/kept"):
        pass
