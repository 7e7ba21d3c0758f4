"""One job a device: jobs on one machine agree through a lock file for each device, and wait where too few are free."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import stat
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pumalib.errors import ConfigError

_SECONDS_BETWEEN_LOOKS = 1.0
_GATE = "all"
"""Name of the lock that is held for the moment of a look at the others."""


def count_devices(visible: str | None, folder: Path = Path("/dev"), wsl: Path = Path("/usr/lib/wsl/lib")) -> int:
    """Count the CUDA devices that a job will see, without torch, which takes seconds to import.

    Args:
        visible: the value of CUDA_VISIBLE_DEVICES, which CUDA reads up to the first negative index; None: not set.
        folder: where the driver's device files are.
        wsl: where Windows puts its driver's libraries for Linux. It has no file a device: all count as one, our choice.
    """
    present = sum(re.fullmatch(r"nvidia\d+", path.name) is not None for path in folder.iterdir())
    present = present or int((wsl / "libcuda.so.1").exists())
    if visible is None:
        return present
    shown = 0
    for entry in map(str.strip, visible.split(",")):
        if not entry or entry.startswith("-"):
            break
        shown += 1
    return min(shown, present)


def check_device_count(wanted: int, found: int) -> None:
    """Refuse a training over more devices than there are.

    Raises:
        ConfigError: it is one.
    """
    if wanted > found:
        raise ConfigError(
            f"expected training.devices of at most {found}, the CUDA devices that a job sees on this machine, got "
            f"{wanted}; lower it, or let the job see more (docs/cluster.md)"
        )


def lock_folder() -> Path:
    """Return the folder of this user's lock files, in the temporary folder: a lock holds on one machine."""
    return Path(tempfile.gettempdir()) / f"puma-devices-{os.getuid()}"


def hold_devices(names: Sequence[str], count: int, folder: Path) -> list[int]:
    """Take free devices until this process ends, however it ends; return their indices in `names`.

    The kernel drops a lock with the process, so that a killed job leaves no device taken. A job takes all that it
    needs at once, and none before: two that each want two never hold one each.

    Args:
        names: a name for each visible device, the same in every process, in the order of preference.
        count: devices to take, no more than there are names.
        folder: where the lock files are; made where missing.

    Raises:
        ConfigError: the folder cannot be written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _expect_own(folder)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        gate, *files = [os.open(folder / f"{name}.lock", flags, 0o600) for name in (_GATE, *names)]
    except OSError as error:
        raise ConfigError(
            f"expected a folder for the locks of devices that this user can write, got {error}; "
            "set TMPDIR to a folder of your own on this machine"
        ) from None
    taken = _take(files, count, gate)
    if not taken:
        wanted, held = ("a device", "") if count == 1 else (f"{count} devices", "some of ")
        logging.info("waiting for %s: other jobs hold %s%s (locks in %s)", wanted, held, ", ".join(names), folder)
    while not taken:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        taken = _take(files, count, gate)
    for index, file in enumerate(files):
        if index not in taken:
            os.close(file)
    os.close(gate)
    return taken


def _expect_own(folder: Path) -> None:
    """Refuse a folder that others can change: in a shared temporary folder anyone can be first to make one.

    Raises:
        PermissionError: a link, of another user, or open to others.
    """
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise PermissionError(f"a link or file at {folder}")
    if status.st_uid != os.getuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(f"{folder} belongs to another user, or others may write there")


def _take(files: Sequence[int], count: int, gate: int) -> list[int]:
    """Lock so many of the files, or none; one process at a time looks."""
    fcntl.flock(gate, fcntl.LOCK_EX)
    taken: list[int] = []
    for index, file in enumerate(files):
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken.append(index)
        if len(taken) == count:
            break
    else:
        for index in taken:
            fcntl.flock(files[index], fcntl.LOCK_UN)
        taken = []
    fcntl.flock(gate, fcntl.LOCK_UN)
    return taken
