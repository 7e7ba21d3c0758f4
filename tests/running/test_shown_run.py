"""What is shown of a run, from the records that Snakemake logs."""

import io
import logging
import sys
from collections.abc import Iterator
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


def test_warnings_errors_and_words_of_a_cluster_are_passed_on(handler: LogHandler, shown: io.StringIO) -> None:
    handler.emit(record("disk is nearly full", logging.WARNING))
    handler.emit(record("No rule to produce x", logging.ERROR, event=LogEvent.ERROR))
    handler.emit(record("SLURM run ID: 12", path="site-packages/snakemake_executor_plugin_slurm/__init__.py"))
    handler.emit(record("Building DAG of jobs..."))
    expected = ["disk is nearly full", "Error: No rule to produce x", "SLURM run ID: 12"]
    assert shown.getvalue().splitlines() == expected
