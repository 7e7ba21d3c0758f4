"""The lock of a study: one run at a time, and nothing left of a run that was killed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from pumalib.jobs.driver import errors_of_run

ROOT = Path(__file__).parents[2]
BEGIN = """
import sys
from pumalib.jobs.driver import begin_run, join_run
from pumalib.errors import PumaError
try:
    begin_run("logs")
except PumaError as error:
    sys.exit(f"Error: {error}")
print("began", flush=True)
"""
JOIN = """
from pumalib.jobs.driver import join_run
join_run("logs")
print("joined", flush=True)
"""
WAIT = "import sys; sys.stdin.read()"


def start(folder: Path, code: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes: dict[str, int] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-W", "default", "-c", code], cwd=folder, env=environment, text=True, **pipes
    )


def line_of(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


def test_second_run_is_refused_while_the_driver_or_a_job_of_the_first_lives(tmp_path: Path) -> None:
    driver = start(tmp_path, BEGIN + WAIT)
    assert line_of(driver.stdout) == "began\n"
    job = start(tmp_path, JOIN + WAIT)
    assert line_of(job.stdout) == "joined\n"
    for process in (driver, job):
        second = start(tmp_path, BEGIN)
        assert "Error: expected no other run of this study, found one at work" in second.communicate()[1]
        assert second.returncode == 1
        process.kill()
        process.communicate()
    third = start(tmp_path, BEGIN)
    assert third.communicate() == ("began\n", "")


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir(mode=0o500)
    refused = start(tmp_path, BEGIN)
    assert "expected a results folder that can be written, got: Permission denied at" in refused.communicate()[1]


def test_timers_that_wait_do_not_hold_the_end_of_a_run():
    code = "import threading; from pumalib.jobs.driver import end_run; threading.Timer(3600, print).start(); end_run()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, timeout=60
    )  # 60 s: far more than it takes


@pytest.mark.parametrize("message", ["expected this, got that\n  log: x.log", ""])
def test_messages_of_failed_jobs_are_the_last_words_of_the_driver(tmp_path: Path, message: str) -> None:
    (tmp_path / "errors.txt").write_text(message)
    tell = "from pumalib.jobs.driver import tell_errors_last; tell_errors_last('errors.txt')"
    code = f"import sys; {tell}; sys.exit('later')"
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.stderr.startswith("later\n\nError: ")
    assert ended.stderr.strip().endswith(message or "the lines above name its log")


def test_a_message_that_its_log_no_longer_holds_is_of_an_attempt_that_was_followed_by_another(tmp_path: Path) -> None:
    """The log of the first job is of a second attempt, which went well; the second failed twice; the third has none."""
    logs = [tmp_path / f"{number}.log" for number in (1, 2, 3)]
    logs[0].write_text("2026-11-27 INFO begin\n2026-11-27 INFO end, after 1.0 s\n")
    logs[1].write_text("2026-11-27 INFO begin\n2026-11-27 ERROR expected bytes, got \x1b\nand more\n")
    first, second, third = (
        f"{said}\n  log: {log}\n"
        for said, log in zip(
            ("expected a, got b", "expected bytes, got \\u001b\nand more", "killed"), logs, strict=True
        )
    )
    (tmp_path / "errors.txt").write_text(first + second + third + second)
    assert errors_of_run(tmp_path / "errors.txt") == (second + third).strip()
    assert errors_of_run(tmp_path / "none.txt") == ""
