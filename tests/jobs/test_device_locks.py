"""Jobs that share devices, each a process of its own; the devices are names."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pumalib.errors import ConfigError
from pumalib.jobs.device_locks import check_device_count, count_devices, hold_devices

ROOT = Path(__file__).parents[2]
JOB = """
import logging, sys
from pathlib import Path
from pumalib.jobs.device_locks import hold_devices
logging.basicConfig(level=logging.INFO, format="%(message)s")
print(*hold_devices(sys.argv[3:], int(sys.argv[2]), Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@contextmanager
def job(folder: Path, *names: str, count: int = 1, stays: bool = True) -> Iterator[subprocess.Popen[str]]:
    """Run a job that prints the indices of its devices, and then ends, or stays until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", JOB, folder, str(count), *names],
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


def test_a_job_takes_all_the_devices_it_needs_or_none(tmp_path: Path) -> None:
    with job(tmp_path, "a", "b", "c") as first:
        assert first.stdout.readline() == "0\n"
        with job(tmp_path, "a", "b", "c", count=3, stays=False) as whole:
            line = whole.stderr.readline()
            assert line == f"waiting for 3 devices: other jobs hold some of a, b, c (locks in {tmp_path})\n"
            with job(tmp_path, "a", "b", "c", count=2, stays=False) as two:
                assert two.communicate() == ("1 2\n", "")
            assert whole.poll() is None
            first.kill()
            assert whole.communicate() == ("0 1 2\n", "")


def test_many_jobs_that_each_need_two_devices_all_come_to_their_turn(tmp_path: Path) -> None:
    """Each prefers another device; one that held its first while it waited for its second would block the others."""
    with ExitStack() as jobs:
        started = [
            jobs.enter_context(job(tmp_path, *names, count=2, stays=False))
            for names in (("a", "b"), ("b", "a"), ("a", "b"), ("b", "a"))
        ]
        assert [process.communicate(timeout=120)[0] for process in started] == ["0 1\n"] * 4


def test_more_devices_than_there_are_are_refused() -> None:
    check_device_count(2, 2)
    with pytest.raises(ConfigError, match=r"expected training\.devices of at most 2, .* got 3; lower it"):
        check_device_count(3, 2)


def test_a_job_that_ends_leaves_its_device_free(tmp_path: Path) -> None:
    for _ in range(2):
        with job(tmp_path, "a", stays=False) as process:
            assert process.communicate() == ("0\n", "")
            assert process.returncode == 0


def test_locks_that_cannot_be_written_are_one_clear_error(tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.touch()
    with pytest.raises(ConfigError, match="expected a folder for the locks of devices that this user can write, got"):
        hold_devices(["a"], 1, taken)


@pytest.mark.parametrize(
    ("visible", "count"), [(None, 3), ("0,2", 2), ("GPU-5c, GPU-7d", 2), ("", 0), ("0,-1,2", 1), ("0,1,2,3,4", 3)]
)
def test_visible_devices_are_counted_as_cuda_does(tmp_path: Path, visible: str | None, count: int) -> None:
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert count_devices(visible, tmp_path) == count


@pytest.mark.parametrize(("visible", "count"), [(None, 1), ("0", 1), ("", 0)])
def test_below_windows_the_driver_counts_as_one_device(tmp_path: Path, visible: str | None, count: int) -> None:
    devices, libraries = tmp_path / "dev", tmp_path / "lib"
    devices.mkdir()
    libraries.mkdir()
    (devices / "dxg").touch()  # there with a card of any maker
    assert count_devices(visible, devices, libraries) == 0
    (libraries / "libcuda.so.1").touch()
    assert count_devices(visible, devices, libraries) == count


@pytest.mark.parametrize("foreign", ["link", "file", "open to others"])
def test_a_folder_of_locks_that_others_can_change_is_refused(tmp_path: Path, foreign: str) -> None:
    folder = tmp_path / "locks"
    if foreign == "link":
        (tmp_path / "elsewhere").mkdir()
        folder.symlink_to(tmp_path / "elsewhere")
    elif foreign == "file":
        folder.write_text("")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    with pytest.raises(ConfigError, match="expected a folder for the locks of devices that this user can write, got"):
        hold_devices(["0"], 1, folder)
    assert not (tmp_path / "elsewhere").exists() or not list((tmp_path / "elsewhere").iterdir())


def test_a_folder_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locks").mkdir(mode=0o700)
    monkeypatch.setattr("os.getuid", lambda: 12345)
    with pytest.raises(ConfigError, match="belongs to another user"):
        hold_devices(["0"], 1, tmp_path / "locks")


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir(mode=0o700)
    (tmp_path / "locks/0.lock").symlink_to(tmp_path / "target")
    with pytest.raises(ConfigError, match="expected a folder for the locks"):
        hold_devices(["0"], 1, tmp_path / "locks")
    assert not (tmp_path / "target").exists()
