"""Jobs that share devices, each a process of its own; the devices are names."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pumalib.device_locks import count_devices, hold_a_device
from pumalib.errors import ConfigError

ROOT = Path(__file__).parents[1]
JOB = """
import logging, sys
from pathlib import Path
from pumalib.device_locks import hold_a_device
logging.basicConfig(level=logging.INFO, format="%(message)s")
print(hold_a_device(sys.argv[2:], Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@contextmanager
def job(folder: Path, *names: str, stays: bool = True) -> Iterator[subprocess.Popen[str]]:
    """Run a job that prints the index of its device, and then ends, or stays until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", JOB, folder, *names],
        stdin=subprocess.PIPE if stays else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_each_job_has_a_device_of_its_own(tmp_path: Path) -> None:
    with job(tmp_path, "a", "b") as first, job(tmp_path, "a", "b") as second:
        assert {first.stdout.readline(), second.stdout.readline()} == {"0\n", "1\n"}


def test_a_job_that_sees_other_devices_counts_its_own(tmp_path: Path) -> None:
    with job(tmp_path, "a", "b") as first:
        assert first.stdout.readline() == "0\n"
        with job(tmp_path, "b", "a") as second:
            assert second.stdout.readline() == "0\n"


def test_a_job_waits_with_one_line_and_takes_the_device_of_a_killed_one(tmp_path: Path) -> None:
    with job(tmp_path, "a", "b") as first:
        assert first.stdout.readline() == "0\n"
        with job(tmp_path, "a", stays=False) as waiting:
            line = waiting.stderr.readline()
            assert line == f"waiting for a device: other jobs hold a (locks in {tmp_path})\n"
            assert waiting.poll() is None
            first.kill()
            assert waiting.communicate() == ("0\n", "")


def test_a_job_that_ends_leaves_its_device_free(tmp_path: Path) -> None:
    for _ in range(2):
        with job(tmp_path, "a", stays=False) as process:
            assert process.communicate() == ("0\n", "")
            assert process.returncode == 0


def test_locks_that_cannot_be_written_are_one_clear_error(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.touch()
    with pytest.raises(ConfigError, match="expected a folder for the locks of devices that this user can write, got"):
        hold_a_device(["a"], taken)


@pytest.mark.parametrize(
    ("visible", "count"), [(None, 3), ("0,2", 2), ("GPU-5c, GPU-7d", 2), ("", 0), ("0,-1,2", 1), ("0,1,2,3,4", 3)]
)
def test_visible_devices_are_counted_as_cuda_does(tmp_path: Path, visible: str | None, count: int) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert count_devices(visible, tmp_path) == count
