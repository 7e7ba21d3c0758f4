"""The progress of jobs: bars become lines of the log, which are read back."""

import io
import logging
import os
import sys
from pathlib import Path

import pytest
from tqdm import tqdm

from pumalib.jobs import progress
from pumalib.jobs.progress import JobProgress, LoggedBars, log_progress, read_progress
from pumalib.running.job_log import progress_in


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LEAST_SECONDS", 0.0)


def test_bar_becomes_a_line_a_percent_and_nothing_of_it_is_printed(
    caplog: pytest.LogCaptureFixture, without_pauses: None
) -> None:
    caplog.set_level(logging.INFO)
    stream = io.StringIO()
    with tqdm(total=4, desc="trades/0", unit="image", disable=None, file=LoggedBars(stream), mininterval=0) as bar:
        for _ in range(4):
            bar.update(1)
    assert [line.partition(")")[0] for line in caplog.messages] == [
        f"progress of trades/0: {percent} % ({done} of 4" for percent, done in ((25, 1), (50, 2), (75, 3), (100, 4))
    ]
    assert stream.getvalue() == ""


def test_lines_that_are_no_bars_are_handed_on() -> None:
    stream = io.StringIO()
    print("a warning", file=LoggedBars(stream))
    assert stream.getvalue() == "a warning\n"


def test_bars_are_logged_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    log_progress()
    assert isinstance(sys.stderr, LoggedBars)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026-11-27 INFO progress of trades/0: 42 % (420 of 1000), 01:05 left", JobProgress(42, 65)),
        ("progress of scoring (deepfool): 1 % (1 of 100), 2:00:01 left", JobProgress(1, 7201)),
        ("progress of trades/0: 0 % (0 of 1000)", JobProgress(0, None)),
        ("begin: process 1 on host", None),
    ],
)
def test_line_is_read_back(line: str, expected: JobProgress | None) -> None:
    assert read_progress(line) == expected


def test_last_progress_of_a_log_counts_and_time_that_passed_is_taken_off(tmp_path: Path) -> None:
    log = tmp_path / "seed0.log"
    lines = ["progress of a: 1 % (1 of 100), 09:00 left", "progress of a: 2 % (2 of 100), 05:00 left", "another line"]
    log.write_text("\n".join(lines))
    written = log.stat().st_mtime - 60
    os.utime(log, (written, written))
    found = progress_in(log, began=written - 1)
    assert found is not None
    assert found.percent == 2
    assert found.seconds_left == pytest.approx(240, abs=30)


def test_log_of_the_run_before_tells_nothing(tmp_path: Path) -> None:
    log = tmp_path / "seed0.log"
    log.write_text("progress of a: 2 % (2 of 100), 05:00 left\n")
    assert progress_in(log, began=log.stat().st_mtime + 1) is None
    assert progress_in(tmp_path / "none.log", began=0) is None
