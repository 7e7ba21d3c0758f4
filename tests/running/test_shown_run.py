"""What is shown of a run, from the records that Snakemake logs."""

import io
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from pumalib.running.show import LogHandler


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", stream)
    return stream


@pytest.fixture
def handler(shown: io.StringIO) -> Iterator[LogHandler]:
    handler = LogHandler(SimpleNamespace(dryrun=False), None)  # type: ignore[arg-type]
    yield handler
    handler.close()


def record(
    message: str, level: int = logging.INFO, path: str = "snakemake/workflow.py", **extra: Any
) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", level, path, 1, message, None, None)
    made.__dict__.update({"created": 0.0, **extra})
    return made


def began(number: int, what: str) -> logging.LogRecord:
    told = {"jobid": number, "rule_name": "model", "rule_msg": what, "log": ["a.log"], "input": ["long"] * 99}
    return record("Rule: model", event=LogEvent.JOB_INFO, **told)


def test_job_that_ended_is_one_line(handler: LogHandler, shown: io.StringIO) -> None:
    handler.emit(record("Job stats", event=LogEvent.RUN_INFO, stats={"model": 2, "all": 1, "total": 3}))
    handler.emit(record("Select jobs to execute..."))
    handler.emit(began(1, "train puma, seed 3"))
    handler.emit(record("Finished", event=LogEvent.JOB_FINISHED, job_id=1, created=12.0))
    assert shown.getvalue().splitlines() == ["2 jobs to do", f"[1 of 2] {'train puma, seed 3':<56}     12 s"]


def test_error_of_a_job_is_told_once_with_its_log(handler: LogHandler, shown: io.StringIO) -> None:
    handler.emit(began(1, "train puma, seed 3"))
    handler.emit(record("RuleException:\nCalledProcessError in file x", logging.ERROR, event=LogEvent.ERROR))
    handler.emit(
        record("Error in rule", logging.ERROR, event=LogEvent.JOB_ERROR, jobid=1, rule_msg=None, log=["a.log"])
    )
    handler.emit(record("Exiting because a job execution failed. Look above", logging.ERROR))
    handler.emit(record("At least one job did not complete successfully.", logging.ERROR, event=LogEvent.ERROR))
    assert shown.getvalue() == "failed: train puma, seed 3, after 0.0 s; log: a.log\n"


def test_what_slurm_says_of_a_job_that_failed_stands_below_it(
    handler: LogHandler, shown: io.StringIO, tmp_path: Path
) -> None:
    (tmp_path / "12.log").write_text(
        "srun: cluster configuration lacks support for cpu binding\n"
        "srun: error: Step requested gres=gpu:2 is more than the job's gres=gpu:1\n"
        "slurmstepd: error: *** JOB 12 ON node1 CANCELLED AT 2026-11-27T11:06:37 DUE TO TIME LIMIT ***\n"
        "slurmstepd: error: *** JOB 12 ON node1 CANCELLED AT 2026-11-27T11:06:37 DUE TO TIME LIMIT ***\n"
    )
    handler.emit(began(1, "train puma, seed 3"))
    logs = [str(tmp_path / "none.log"), str(tmp_path / "12.log")]
    handler.emit(record("x", logging.ERROR, event=LogEvent.JOB_ERROR, jobid=1, rule_msg=None, log=logs))
    first, *below = shown.getvalue().splitlines()
    assert first.startswith("failed: train puma, seed 3")
    assert below == [
        "  srun: error: Step requested gres=gpu:2 is more than the job's gres=gpu:1",
        "  slurmstepd: error: *** JOB 12 ON node1 CANCELLED AT 2026-11-27T11:06:37 DUE TO TIME LIMIT ***",
    ]


def test_warnings_errors_and_words_of_a_cluster_are_passed_on(handler: LogHandler, shown: io.StringIO) -> None:
    handler.emit(record("disk is nearly full", logging.WARNING))
    handler.emit(record("No rule to produce x", logging.ERROR, event=LogEvent.ERROR))
    handler.emit(record("SLURM run ID: 12", path="site-packages/snakemake_executor_plugin_slurm/__init__.py"))
    handler.emit(record("Building DAG of jobs..."))
    expected = ["disk is nearly full", "Error: No rule to produce x", "SLURM run ID: 12"]
    assert shown.getvalue().splitlines() == expected
