"""Disks that are full or cannot be written: one clear sentence, nothing half-written. Needs root, to mount a disk."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pumalib.errors import ResourceError
from pumalib.files.artifacts import create_artifact, write_text, writing
from pumalib.files.digests import is_whole
from pumalib.jobs.states import StateFile, StatePlace
from pumalib.models.checkpoint import save_weights

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk"),
]
COUNT = 1_000_000


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a disk of 1 MiB."""
    mounted = tmp_path / "disk"
    mounted.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mounted)], check=True)
    yield mounted
    subprocess.run(["umount", str(mounted)], check=True)


def write_artifact(path: Path) -> None:
    with create_artifact(path, "scores") as file:
        file.create_dataset("score", data=np.zeros(COUNT, np.float32))


def write_weights(path: Path) -> None:
    save_weights(nn.Linear(COUNT, 1), path, {})


def write_state(path: Path) -> None:
    StateFile(StatePlace(path, 0), "key").offer(lambda: {"weights": torch.zeros(COUNT)})


def write_csv(path: Path) -> None:
    with writing(path) as temporary:
        pd.DataFrame({"value": np.zeros(COUNT)}).to_csv(temporary)


def write_much_text(path: Path) -> None:
    write_text(path, "x" * 4 * COUNT)


WRITERS = [write_artifact, write_weights, write_state, write_csv, write_much_text]


@pytest.mark.parametrize("write", WRITERS)
def test_full_disk_is_told_and_leaves_the_file_that_was_there(disk: Path, write: Callable[[Path], None]) -> None:
    target = disk / "folder/file"
    write_text(target, "before")
    with pytest.raises(ResourceError, match=r"expected room for .*/folder/file, got a full disk or quota; make room"):
        write(target)
    assert [path.name for path in target.parent.iterdir()] == ["file"]
    assert target.read_text() == "before"


@pytest.mark.parametrize("write", WRITERS)
def test_disk_that_cannot_be_written_is_told(disk: Path, write: Callable[[Path], None]) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(
        ResourceError, match=r"expected to write .*/disk/folder/file, got: Read-only file system; change"
    ):
        write(disk / "folder/file")


@pytest.mark.parametrize("count", [500, 100_000], ids=["small columns", "large columns"])
def test_disk_that_is_full_at_any_page_of_an_artifact_ends_no_process(disk: Path, count: int) -> None:
    """HDF5 crashes where it finds no room for what it held back."""
    told = 0
    for pages in range(5, 100):
        subprocess.run(["mount", "-o", f"remount,size={4 * pages}k", str(disk)], check=True)
        reason = ""
        try:
            with create_artifact(disk / "file", "scores") as file:
                for column in range(20):
                    file.create_dataset(f"column{column}", data=np.zeros(count, np.float32))
        except ResourceError as error:
            reason = str(error)
        if reason:
            told += "got a full disk or quota" in reason
            assert list(disk.iterdir()) == []
        else:
            assert is_whole(disk / "file")
            (disk / "file").unlink()
    assert told > (90 if count > 500 else 4)
