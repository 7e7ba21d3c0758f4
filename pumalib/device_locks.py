"""One job a device: jobs on one machine agree through a lock file for each device, and wait where all are taken."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pumalib.errors import ConfigError

_SECONDS_BETWEEN_LOOKS = 1.0


def count_devices(visible: str | None, folder: Path = Path("/dev")) -> int:
    """Count the CUDA devices that a job will see, without torch, which takes seconds to import.

    Args:
        visible: the value of CUDA_VISIBLE_DEVICES, which CUDA reads up to the first negative index; None: not set.
        folder: where the driver's device files are.
    """
    present = sum(re.fullmatch(r"nvidia\d+", path.name) is not None for path in folder.iterdir())
    if visible is None:
        return present
    shown = 0
    for entry in map(str.strip, visible.split(",")):
        if not entry or entry.startswith("-"):
            break
        shown += 1
    return min(shown, present)


def lock_folder() -> Path:
    """Return the folder of this user's lock files, in the temporary folder: a lock holds on one machine."""
    return Path(tempfile.gettempdir()) / f"puma-devices-{os.getuid()}"


def hold_a_device(names: Sequence[str], folder: Path) -> int:
    """Take a free device until this process ends, however it ends; return its index in `names`.

    The kernel drops a lock with the process, so that a killed job leaves no device taken.

    Args:
        names: a name for each visible device, the same in every process, in the order of preference.
        folder: where the lock files are; made where missing.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = [os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600) for name in names]
    except OSError as error:
        raise ConfigError(
            f"expected a folder for the locks of devices that this user can write, got {error}; "
            "set TMPDIR to a folder of your own on this machine"
        ) from None
    index = _wait_for_one(files, names, folder)
    for other, file in enumerate(files):
        if other != index:
            os.close(file)
    return index


def _wait_for_one(files: Sequence[int], names: Sequence[str], folder: Path) -> int:
    index = _take_a_free_one(files)
    if index is None:
        logging.info("waiting for a device: other jobs hold %s (locks in %s)", ", ".join(names), folder)
    while index is None:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        index = _take_a_free_one(files)
    return index


def _take_a_free_one(files: Sequence[int]) -> int | None:
    for index, file in enumerate(files):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return index
    return None
