"""Several runs in one folder, a study edited while it runs, a study renamed, and jobs that share devices."""

import shutil
import sys
import time
from collections.abc import Iterator

import pytest

from tests.workflow.conftest import Checkout

DATASET = "results/other/datasets/digits/seed0.h5"
DEVICES = """
workflow.global_resources.setdefault("gpu", 2)

resource_scopes:
    gpu="local",

rule all:
    input: expand("{number}.log", number=range(4)),

rule job:
    output: "{number}.log",
    resources: gpu=1,
    shell: "{sys.executable} job.py > {output} 2>&1"
"""
JOB = """
import logging, time
from pathlib import Path
from pumalib.jobs.device_locks import hold_devices
logging.basicConfig(level=logging.INFO, format="%(message)s")
hold_devices(["a", "b"], 1, Path("locks"))
time.sleep(0.5)
"""


@pytest.fixture(scope="module")
def running(make_checkout) -> Iterator[Checkout]:
    """A checkout in which the tiny study runs."""
    checkout = make_checkout()
    lock = checkout.folder / "results/tiny/logs/jobs.lock"  # made once the lock of the run is taken
    with checkout.start([sys.executable, "-m", "snakemake", "--cores", "1", "--configfile", "tiny.yaml"]) as process:
        while not lock.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        yield checkout
        process.kill()
        process.communicate()


def test_a_second_run_of_a_running_study_is_refused(running):
    second = running.run()
    assert second.returncode != 0
    assert "expected no other run of this study, found one at work" in second.stderr
    assert "Traceback" not in second.stderr


@pytest.mark.slow
def test_another_study_runs_beside(running):
    other = running.study("other.yaml", lambda raw: raw.update(study="other"))
    result = running.run(DATASET, study=other)
    assert result.returncode == 0, result.stderr
    assert (running.folder / DATASET).exists()


def test_a_job_of_a_cluster_refuses_a_study_edited_since_its_run_began(make_checkout, monkeypatch):
    monkeypatch.setenv("PUMA_STUDY_KEY", "of the study before")
    result = make_checkout().run("--mode", "remote", DATASET.replace("other", "tiny"))
    assert result.returncode != 0
    assert "tiny.yaml as it was when this run began, got another" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_results_of_a_renamed_study_can_be_taken_along(finished, tmp_path):
    checkout = Checkout(shutil.copytree(finished.folder, tmp_path / "checkout", symlinks=True))
    (checkout.folder / "results/tiny").rename(checkout.folder / "results/renamed")
    renamed = checkout.study("renamed.yaml", lambda raw: raw.update(study="renamed"))
    touched = checkout.run("--touch", "--forceall", study=renamed)
    assert touched.returncode == 0, touched.stderr

    def edit(raw: dict) -> None:
        raw["study"] = "renamed"
        raw["attacks"]["cw"]["steps"] = 4

    planned = checkout.planned(checkout.study("edited.yaml", edit))
    assert planned == {"attack trades", "attack puma", "results of renamed", "report table", "page of renamed"}


@pytest.mark.slow
def test_no_more_jobs_are_started_than_there_are_devices(make_checkout, tmp_path):
    checkout = make_checkout()
    (checkout.folder / "Snakefile").write_text(DEVICES)
    (checkout.folder / "job.py").write_text(JOB)
    result = checkout.run("--cores", "4", "--profile", "none", "--workflow-profile", "none", study="")
    assert result.returncode == 0, result.stderr
    assert [path.read_text() for path in checkout.folder.glob("?.log")] == [""] * 4
