import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAD = """
import logging, warnings
from pumalib.errors import ArtifactError
from pumalib.jobs.frame import Frame, framed
"""


def run(folder: Path, body: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a job in a process of its own: a job takes over logging and the exit status."""
    code = f"{HEAD}\nwith framed(Frame('logs/x/job.log', 'logs/errors.txt', {{}})):\n    {body}\nprint('went on')"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_job_that_succeeds_is_silent_and_keeps_a_log(tmp_path: Path) -> None:
    finished = run(tmp_path, "logging.info('seen'); warnings.warn('careful', stacklevel=1)")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "went on\n", "")
    log = (tmp_path / "logs/x/job.log").read_text(encoding="utf-8")
    assert "INFO seen" in log
    assert "INFO begin: process " in log
    assert "INFO end, after " in log
    assert "UserWarning: careful" in log
    assert not (tmp_path / "logs/errors.txt").exists()


def test_error_of_the_input_ends_in_one_message_without_traceback(tmp_path: Path) -> None:
    finished = run(tmp_path, "raise ArtifactError('expected this, got that')")
    assert (finished.returncode, finished.stdout) == (1, "")
    message = "expected this, got that\n  log: logs/x/job.log\n"
    assert finished.stderr.strip() == f"Error: {message}".strip()
    assert (tmp_path / "logs/errors.txt").read_text(encoding="utf-8") == message
    log = (tmp_path / "logs/x/job.log").read_text(encoding="utf-8")
    assert "ERROR expected this, got that" in log
    assert "Traceback" not in log


def test_what_is_behind_an_error_of_the_input_stands_in_the_log_only(tmp_path: Path) -> None:
    finished = run(tmp_path, "raise ArtifactError('expected this, got that') from KeyError('behind')")
    assert finished.stderr.startswith("Error: expected this, got that\n  log: logs/x/job.log")
    assert "behind" not in finished.stderr
    assert "KeyError: 'behind'" in (tmp_path / "logs/x/job.log").read_text(encoding="utf-8")


def test_unexpected_error_leaves_its_traceback_in_the_log_only(tmp_path: Path) -> None:
    finished = run(tmp_path, "[][1]")
    assert finished.returncode == 1
    assert finished.stderr.startswith("Error: unexpected IndexError: list index out of range\n  log: logs/x/job.log")
    assert "Traceback" not in finished.stderr
    assert "Traceback" not in (tmp_path / "logs/errors.txt").read_text(encoding="utf-8")
    log = (tmp_path / "logs/x/job.log").read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in log
    assert "IndexError" in log


def test_errors_of_several_jobs_stand_one_after_another(tmp_path: Path) -> None:
    for text in ("first", "second"):
        run(tmp_path, f"raise ArtifactError('{text}')")
    lines = (tmp_path / "logs/errors.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if "log:" not in line] == ["first", "second"]
    assert "first" not in (tmp_path / "logs/x/job.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(("check", "status"), [("1", 1), ("0", 0)])
def test_module_outside_the_fingerprint_fails_the_job_where_tests_ask_for_it(
    tmp_path: Path, check: str, status: int
) -> None:
    finished = run(tmp_path, "import pumalib.selection.cuts", PUMA_CHECK_CLOSURE=check)
    assert finished.returncode == status
    assert ("modules outside the code fingerprint: " in finished.stderr) is (status == 1)
    assert ("pumalib.selection.cuts" in finished.stderr) is (status == 1)


def test_interruption_is_not_swallowed(tmp_path: Path) -> None:
    finished = run(tmp_path, "raise KeyboardInterrupt")
    assert finished.returncode == 130
    assert finished.stderr.startswith("Error: interrupted; run the same command again\n")
    assert "interrupted" in (tmp_path / "logs/errors.txt").read_text()


OF_SNAKEMAKE = """
from types import SimpleNamespace
from snakemake.iocontainers import Params
from pumalib.jobs.frame import job

of_study = {"device": "cpu", "data_dir": "images", "save_every_seconds": 5}
config = {"job": {"errors": "results/s/logs/errors.txt", **of_study}}
params = Params(fromdict={"code": {"module": "1"}, "threads": 3})
with job(SimpleNamespace(log=["results/s/logs/models/x.log"], params=params, config=config)) as frame:
    print(frame.code, frame.threads, frame.device, frame.data_dir, frame.save_every_seconds)
    print(frame.maker.code, frame.maker.folder, frame.state_path)
    raise ArtifactError("expected this, got that")
"""


def test_job_of_the_workflow_takes_its_frame_from_the_rule_and_from_the_study(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HEAD + OF_SNAKEMAKE]
    finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert finished.stdout.splitlines() == [
        "{'module': '1'} 3 cpu images 5",
        "{'module': '1'} results/s results/s/work/models/x.state",
    ]
    assert finished.stderr == "Error: expected this, got that\n  log: results/s/logs/models/x.log\n\n"
    assert "expected this, got that" in (tmp_path / "results/s/logs/errors.txt").read_text(encoding="utf-8")


def test_threads_of_a_job_are_those_asked_for(tmp_path: Path) -> None:
    work = "print(torch.get_num_threads())"
    code = f"{HEAD}\nimport torch\nwith framed(Frame('log', 'errors', {{}}, threads=3)):\n    {work}"
    finished = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert finished.stdout == "3\n"
