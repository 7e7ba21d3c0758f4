"""What the driver of a workflow does before its first job, so that any end of it can be followed by the same command.

One run of a study at a time: the driver and its jobs hold locks that the kernel drops with the last of them, however
they end. Snakemake's own lock outlives a kill. And SIGTERM to the driver reaches its jobs, which save their states.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType

from pumalib.errors import ResourceError
from pumalib.files.plain_text import visible

RUN_LOCK, JOBS_LOCK = "run.lock", "jobs.lock"
LOG_LINE = "  log: "
"""How the line begins that ends a message in the file of errors."""
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK)
"""What file systems without locks answer."""

log = logging.getLogger(__name__)


def begin_run(logs: str | Path) -> None:
    """Take the lock of a study.

    Args:
        logs: folder of its logs, where the locks are.

    Raises:
        ResourceError: another run of the study, or a job that outlived one, is at work; no right to write.
    """
    try:
        _lock(Path(logs) / RUN_LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(_lock(Path(logs) / JOBS_LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        raise ResourceError(
            "expected no other run of this study, found one at work, or a job that outlived one: wait for it or end it "
            f"(`fuser {logs}/*.lock` names its processes)"
        ) from None
    except OSError as error:
        raise ResourceError(
            f"expected a results folder that can be written, got: {error.strerror} at {error.filename}; "
            "change its owner, permissions or mount"
        ) from None


def end_run() -> None:
    """Cancel the timers of Snakemake's job rate limit, which would hold its exit for the limit's whole time span."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


def errors_of_run(errors: str | Path) -> str:
    """Return the messages of the jobs that failed in the last run, each with the place of its log; empty: none.

    A job that was tried again has emptied its log: what it said before counts no more.
    """
    path = Path(errors)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    told: dict[str, None] = {}  # each message once
    message = ""
    # Invariant: `told` has the messages above, `message` the lines since the last.
    for line in lines:
        message += line
        if line.startswith(LOG_LINE):
            if _is_last_word(message, Path(line.removeprefix(LOG_LINE).rstrip("\n"))):
                told[message] = None
            message = ""
    return "".join([*told, message]).strip()


def _is_last_word(message: str, log_file: Path) -> bool:
    """Return whether a log still holds the message of its job; so it is taken where there is no log to read."""
    try:
        text = log_file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return message.splitlines()[0] in visible(text)


def tell_errors_last(errors: str | Path) -> None:
    """Print the messages of the jobs that failed when this process exits: below everything that Snakemake says."""
    text = errors_of_run(errors) or "a job ended without a message, as a killed one does; the lines above name its log"
    atexit.register(print, f"\nError: {text}", file=sys.stderr)


def join_run(logs: str | Path) -> None:
    """Let no other run of the study begin while this job lives."""
    _lock(Path(logs) / JOBS_LOCK, fcntl.LOCK_SH)


def _lock(path: Path, kind: int) -> int:
    """Lock a file until its descriptor is closed, at the latest when the process ends; return the descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(file, kind)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            os.close(file)
            raise
        log.warning("%s cannot be locked (%s): see to it that no two runs of a study work at once", path, error)
    return file


def hand_on_sigterm() -> None:
    """Hand SIGTERM on to the processes below this one that have none below them: the jobs."""
    import psutil

    before = signal.getsignal(signal.SIGTERM)

    def hand_on(number: int, frame: FrameType | None) -> None:
        """Answer the signal: the jobs first, then what was to happen before."""
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it ended meanwhile
                if not process.children():
                    process.terminate()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, hand_on)
