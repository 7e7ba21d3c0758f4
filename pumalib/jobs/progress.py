"""How far a job is: a line of its log every so often, wherever no terminal shows its progress bar.

The bars of tqdm are read as they are drawn. So the code that trains and scores knows nothing of this, and whatever has
a bar in a terminal has lines in its log elsewhere.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from dataclasses import dataclass
from typing import TextIO

QUIET_JOBS = "PUMA_QUIET_JOBS"
"""Environment variable: "1" where `puma run` shows how far jobs are, and tells their errors itself."""

_BAR = re.compile(r"\r(?P<what>.*): +(?P<percent>\d+)%\|.*\| (?P<done>\d+)/(?P<total>\d+) \[[\d:]+<(?P<left>[\d:]+|\?)")
_LINE = re.compile(r"progress of (?P<what>.*): (?P<percent>\d+) % \(.*\)(?:, (?P<left>[\d:]+) left)?$")
_LEAST_SECONDS = 5.0
"""Between lines; and there are no more than one a percent."""


@dataclass(frozen=True)
class JobProgress:
    """How far a job said that it is.

    Attributes:
        percent: of its work that is done.
        seconds_left: that the rest takes; None: not known yet.
    """

    percent: int
    seconds_left: float | None


def is_quiet() -> bool:
    """Return whether jobs leave the terminal alone."""
    return os.environ.get(QUIET_JOBS) == "1"


def log_progress() -> None:
    """Write progress bars to the log from here on, unless a terminal shows them."""
    if is_quiet() or not sys.stderr.isatty():
        sys.stderr = LoggedBars(sys.stderr)


class LoggedBars:
    """A text stream that logs the bars of tqdm, and hands on all else.

    Args:
        stream: that the rest goes to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_in_bar = False
        self._told = (0, time.monotonic())

    def isatty(self) -> bool:
        """Say that this is a terminal: otherwise tqdm would draw nothing."""
        return True

    def write(self, text: str) -> int:
        """Log a bar, or hand on what is none; return the number of characters that were given."""
        if text.startswith("\r"):
            self._is_in_bar = True
            self._log(text)
        elif text.strip("\n") or not self._is_in_bar:  # tqdm ends a bar with an empty line
            self._is_in_bar = False
            self._stream.write(text)
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def _log(self, text: str) -> None:
        bar = _BAR.match(text)
        if bar is None:
            return
        percent, now = int(bar["percent"]), time.monotonic()
        before, last = self._told
        if percent != before and now - last >= _LEAST_SECONDS:
            self._told = (percent, now)
            left = "" if bar["left"] == "?" else f", {bar['left']} left"
            logging.info("progress of %s: %d %% (%s of %s)%s", bar["what"], percent, bar["done"], bar["total"], left)


def read_progress(line: str) -> JobProgress | None:
    """Read a line of a job's log; None: it tells no progress."""
    found = _LINE.search(line)
    if found is None:
        return None
    return JobProgress(int(found["percent"]), None if found["left"] is None else _seconds(found["left"]))


def _seconds(clock: str) -> float:
    """Read `1:02:03` or `02:03`."""
    total = 0
    for part in clock.split(":"):
        total = 60 * total + int(part)
    return float(total)
