"""How far a job at work is, and why SLURM ended one, read from the ends of their logs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pumalib.jobs.progress import JobProgress, read_progress

_TAIL_BYTES = 4096
_BY_SLURM = ("srun: error: ", "slurmstepd: error: ")
"""How the lines begin in which SLURM says why it ends a job or does not begin one: time, memory, resources."""


def progress_in(log: str | Path, began: float) -> JobProgress | None:
    """Return the last progress that a log tells, less the time that has passed since; None: it tells none.

    Args:
        log: of the job.
        began: when the job did, in seconds since 1970; an older log is that of the run before.
    """
    try:
        lines, written = _last_lines(log)
    except OSError:  # the job has not opened it yet
        return None
    told = next((found for line in reversed(lines) if (found := read_progress(line)) is not None), None)
    if told is None or written < began:
        return None
    left = None if told.seconds_left is None else max(told.seconds_left - max(time.time() - written, 0.0), 0.0)
    return JobProgress(told.percent, left)


def told_by_slurm(logs: Iterable[str | Path]) -> list[str]:
    """Return the lines at the ends of a job's logs in which SLURM says what was wrong, each once."""
    found: dict[str, None] = {}
    for log in logs:
        with suppress(OSError):  # not every job has every log
            found |= dict.fromkeys(line for line in _last_lines(log)[0] if line.startswith(_BY_SLURM))
    return list(found)


def _last_lines(log: str | Path) -> tuple[list[str], float]:
    """Return the lines at the end of a log, the first of them perhaps not whole, and when it was written."""
    with open(log, "rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(file.tell() - _TAIL_BYTES, 0))
        return file.read().decode("utf-8", errors="replace").splitlines(), os.fstat(file.fileno()).st_mtime
