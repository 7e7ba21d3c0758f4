"""`puma run` and `puma report`, as a person starts them."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workflow.conftest import Checkout

NOISE = ("rule all", "Select jobs", "Using workflow specific profile", "Traceback", "Building DAG", "Execute 1 jobs")


def puma(checkout: Checkout, *words: str) -> subprocess.CompletedProcess[str]:
    return checkout.call([sys.executable, "-m", "pumalib", *words])


def test_run_of_a_study_that_is_done_says_so_and_prints_its_tables(finished: Checkout) -> None:
    result = puma(finished, "run", "tiny.yaml", "--cores", "2")
    assert result.returncode == 0, result.stderr
    assert result.stderr == "nothing to do: every file is there and up to date\n"
    assert result.stdout.startswith("tiny.yaml: 2 runs, 1 seed, no problem found\n")
    assert "== table ==" in result.stdout


@pytest.mark.slow
def test_run_shows_a_line_a_job_and_makes_what_snakemake_makes(
    make_checkout: Callable[[], Checkout], finished: Checkout
) -> None:
    checkout = make_checkout()
    planned = puma(checkout, "run", "tiny.yaml", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "\n19 jobs would run\n" in planned.stdout
    assert "\n  train puma, seed 0\n" in planned.stdout
    assert "== table ==" not in planned.stdout
    result = puma(checkout, "run", "tiny.yaml", "--cores", "2")
    assert result.returncode == 0, result.stderr
    lines = result.stderr.splitlines()
    assert lines[0] == "19 jobs to do"
    assert [line for line in lines[1:-1] if not re.match(r"\[ ?\d+ of 19\] .* [\d.]+ s|still at work: ", line)] == []
    assert re.match(r"19 jobs in .*", lines[-1])
    assert not any(noise in planned.stdout + result.stderr for noise in NOISE)
    table = "results/tiny/results.csv"
    assert (checkout.folder / table).read_bytes() == (finished.folder / table).read_bytes()
    assert "Nothing to be done" in checkout.run().stderr
    assert puma(checkout, "report", "tiny.yaml", "--out", "new/mine.html").returncode == 0
    assert "trades" in (checkout.folder / "new/mine.html").read_text()
    assert [path.name for path in (checkout.folder / "new").iterdir()] == ["mine.html"]


@pytest.mark.slow
def test_one_report_is_made_with_what_it_needs_alone(make_checkout: Callable[[], Checkout]) -> None:
    checkout = make_checkout()
    result = puma(checkout, "run", "tiny.yaml", "--", "margins", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "report margins" in result.stdout
    assert "attack" not in result.stdout.partition("would run")[2]


@pytest.mark.slow
def test_mistake_of_a_study_that_a_job_finds_is_told_once_and_last(make_checkout: Callable[[], Checkout]) -> None:
    checkout = make_checkout()
    study = checkout.study("cut.yaml", cut_to_the_bone)
    result = puma(checkout, "run", study)
    assert result.returncode == 1
    *before, last, log = [line for line in result.stderr.splitlines() if line]
    assert last.startswith("Error: expected every class to keep a row, got none of class")
    assert log == "  log: results/tiny/logs/selections/puma/seed0.log"
    assert any(line.startswith("failed: select rows of puma, seed 0") for line in before)
    assert result.stderr.count("expected every class") == 1
    assert not any(noise in result.stderr for noise in NOISE)


def cut_to_the_bone(raw: dict) -> None:
    """Keep 12 rows of 300, drawn, which miss a class; leave out what does not lead there."""
    del raw["generators"], raw["scores"], raw["reports"]
    raw["pools"] = {"digits": {"dataset": "digits"}}
    raw["defaults"]["pool"] = "digits"
    raw["runs"] = {"puma": {"prune": [{"by": "random", "fraction": 0.96}]}}


def endless(raw: dict) -> None:
    """Make trainings long, and save their states at once."""
    raw["save_every_seconds"] = 0
    raw["defaults"]["training"]["epochs"] = 100_000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "message"),
    [
        (
            signal.SIGTERM,
            "Error: stopped by SIGTERM, the state is saved at results/tiny/work/models/trades/seed0.state",
        ),
        (signal.SIGINT, "Error: interrupted; run the same command again"),
    ],
)
def test_signals_reach_the_jobs(make_checkout: Callable[[], Checkout], number: signal.Signals, message: str) -> None:
    """As a terminal does, SIGINT goes to all processes of the group; SIGTERM goes to the command alone."""
    checkout = make_checkout()
    study = checkout.study("endless.yaml", endless)
    plain = ["env", "--default-signal=INT"]  # a shell starts what runs in its background with SIGINT ignored
    command = [*plain, sys.executable, "-m", "pumalib", "run", study, "--cores", "2"]
    state = checkout.folder / "results/tiny/work/models/trades/seed0.state"
    with subprocess.Popen(
        command, cwd=checkout.folder, env=checkout.environment, stderr=subprocess.PIPE, text=True, process_group=0
    ) as driver:
        while driver.poll() is None and not state.is_file():
            time.sleep(0.1)
        (os.kill if number == signal.SIGTERM else os.killpg)(driver.pid, number)
        _, errors = driver.communicate()
    assert driver.returncode != 0
    assert message in errors
    assert errors.count("Error: ") == 1
    assert "Traceback" not in errors
    assert not jobs_of(checkout.folder)


def jobs_of(folder: Path) -> list[str]:
    """Return the processes that run scripts of a folder."""
    import psutil

    return [str(each.pid) for each in psutil.process_iter(["cmdline"]) if str(folder) in str(each.info["cmdline"])]
