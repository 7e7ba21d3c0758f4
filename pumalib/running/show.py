"""What a run shows of itself: a line for each job that ended, how far the others are, and each error once.

Snakemake's own lines go to its log file (`.snakemake/log/`), all of them.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from pumalib.running.job_log import told_by_slurm
from pumalib.running.screen import Screen
from pumalib.running.tally import Job, Tally
from pumalib.running.words import counted, end_of_run, ended_line, failed_line, state_of_jobs, state_of_run

_SECONDS_OF_SILENCE = 25.0
_NOTHING_TO_DO = "Nothing to be done"
_PASSED_ON = ("Trying to restart",)
"""How lines of Snakemake begin that are shown although they are no warnings."""

_TOLD_OTHERWISE = (
    "CalledProcessError in file",  # the job's own message is shown
    "At least one job did not complete successfully",
    "Exiting because a job execution failed",
)
_OF_EXECUTORS = "snakemake_executor_plugin"


class LogHandler(LogHandlerBase):
    """The logger of Snakemake that `puma run` uses."""

    def __post_init__(self) -> None:
        """Begin to show."""
        self._began = time.time()
        self._tally = Tally()
        self._screen = Screen(sys.__stdout__ if self.common_settings.dryrun else sys.__stderr__)  # type: ignore[arg-type]
        self._is_over = threading.Event()
        self._events: dict[LogEvent, Callable[[Any], None]] = {
            LogEvent.RUN_INFO: self._plan,
            LogEvent.JOB_INFO: self._begin,
            LogEvent.JOB_FINISHED: self._end,
            LogEvent.JOB_ERROR: self._fail,
            LogEvent.ERROR: self._pass_on,
        }
        threading.Thread(target=self._tick, daemon=True).start()

    @property
    def writes_to_stream(self) -> bool:
        """Take the place of Snakemake's own lines."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """Write no file."""
        return False

    @property
    def has_filter(self) -> bool:
        """Choose by itself what is shown."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Spell it by itself."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """Ask for no graph."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Show what a record tells."""
        event = getattr(record, "event", None)
        if event is None:
            self._say(record)
        elif event in self._events:
            self._events[event](record)

    def close(self) -> None:
        """End with how long it took."""
        if not self._is_over.is_set():
            self._is_over.set()
            with self.lock or threading.RLock():
                self._screen.end()
                if self._tally.ended:
                    self._screen.line(end_of_run(self._tally, time.time() - self._began))
        super().close()

    def _say(self, record: logging.LogRecord) -> None:
        """Show a line without an event: warnings, errors, and what an executor of a cluster says."""
        text = record.getMessage()
        if text.startswith(_NOTHING_TO_DO):
            self._screen.line("nothing to do: every file is there and up to date")
        elif record.levelno >= logging.WARNING or text.startswith(_PASSED_ON) or _OF_EXECUTORS in record.pathname:
            self._pass_on(record)

    def _pass_on(self, record: logging.LogRecord) -> None:
        text = record.getMessage().strip()
        if text and not any(part in text for part in _TOLD_OTHERWISE):
            is_error = record.levelno >= logging.ERROR and not text.startswith("Error")
            self._screen.line(f"Error: {text}" if is_error else text)

    def _plan(self, record: Any) -> None:
        is_first = not self._tally.planned
        self._tally.plan(getattr(record, "stats", {}))
        if is_first:
            verb = "would run" if self.common_settings.dryrun else "to do"
            self._screen.line(f"{counted(self._tally.num_planned)} {verb}")

    def _begin(self, record: Any) -> None:
        job = Job(record.rule_name, record.rule_msg or record.rule_name, tuple(map(str, record.log)), record.created)
        self._tally.begin(record.jobid, job)
        if self.common_settings.dryrun and record.jobid in self._tally.running:
            self._screen.line(f"  {job.what}")

    def _end(self, record: Any) -> None:
        job = self._tally.end(record.job_id, record.created)
        if job is not None:
            self._screen.line(ended_line(self._tally, job, record.created - job.began))

    def _fail(self, record: Any) -> None:
        job = self._tally.fail(record.jobid)
        if job is not None:
            logs = tuple(map(str, record.log))
            self._screen.line(failed_line(job, record.created - job.began, record.rule_msg, logs))
            for line in told_by_slurm(logs):
                self._screen.line(f"  {line}")

    def _tick(self) -> None:
        """Show how far jobs are: all the time in a terminal, elsewhere after some silence."""
        while not self._is_over.wait(1.0):
            with self.lock or threading.RLock():
                now = time.time()
                if self._screen.is_terminal:
                    share = len(self._tally.ended) / max(self._tally.num_planned, 1)
                    self._screen.status(share, self._state(now))
                elif now - self._screen.last_line >= _SECONDS_OF_SILENCE:
                    self._screen.line(f"still at work: {self._state(now)}")

    def _state(self, now: float) -> str:
        if not self._tally.planned:
            return "reading the study and looking at its files"
        parts = [state_of_run(self._tally, now)]
        if self._tally.running:
            parts.append(state_of_jobs(self._tally, now))
        return "; ".join(parts)
