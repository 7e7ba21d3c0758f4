"""How far a job at work is, read from the end of its log."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pumalib.jobs.progress import JobProgress, read_progress

_TAIL_BYTES = 4096


def progress_in(log: str | Path, began: float) -> JobProgress | None:
    """Return the last progress that a log tells, less the time that has passed since; None: it tells none.

    Args:
        log: of the job.
        began: when the job did, in seconds since 1970; an older log is that of the run before.
    """
    try:
        with open(log, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(file.tell() - _TAIL_BYTES, 0))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
            written = os.fstat(file.fileno()).st_mtime
    except OSError:  # the job has not opened it yet
        return None
    told = next((found for line in reversed(lines) if (found := read_progress(line)) is not None), None)
    if told is None or written < began:
        return None
    left = None if told.seconds_left is None else max(told.seconds_left - max(time.time() - written, 0.0), 0.0)
    return JobProgress(told.percent, left)
