"""A study whose results lie on a disk that is full: told, nothing half-written, and whole once there is room."""

import os
import re
import subprocess

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk"),
]
DATASET = "results/tiny/datasets/digits/seed0.h5"


def test_job_on_a_full_disk_says_so_and_the_same_command_ends_once_there_is_room(make_checkout) -> None:
    checkout = make_checkout()
    results = checkout.folder / "results"
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(results)], check=True)
    try:
        full = checkout.run(DATASET)
        assert full.returncode == 1
        assert re.search(
            rf"Error: expected .* kB of room for the images at {DATASET}, got .* kB free; make", full.stderr
        )
        assert "Traceback" not in full.stderr
        assert not [path for path in (results / "tiny").rglob("*") if path.suffix in (".h5", ".part")]
        subprocess.run(["mount", "-o", "remount,size=4m", str(results)], check=True)
        again = checkout.run(DATASET)
        assert again.returncode == 0, again.stderr
        assert (checkout.folder / DATASET).is_file()
    finally:
        subprocess.run(["umount", str(results)], check=True)
