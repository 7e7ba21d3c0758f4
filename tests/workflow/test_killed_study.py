"""A study whose driver and jobs are killed again and again, and started again by the same command."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from tests.workflow.conftest import Checkout

KILLS = 30
STUDY = {
    "study": "killed",
    "seeds": [0],
    "save_every_seconds": 0,
    "threat": {"norm": "linf", "epsilon": 0.2},
    "datasets": {
        "digits": {
            "source": "digits",
            "split": "seeded",
            "test_fraction": 0.3,
            "validation_fraction": 0.1,
            "train_count": 200,
            "test_count": 50,
        }
    },
    "pools": {"digits": {"dataset": "digits"}},
    "defaults": {
        "pool": "digits",
        "architecture": {"name": "mlp", "width": 16},
        "training": {
            "epochs": 6,
            "samples_per_epoch": 960,
            "batch_size": 32,
            "learning_rate": 0.1,
            "schedule_unit": "step",
            "attack_steps": 2,
            "crop_padding": 1,
            "horizontal_flip": False,
        },
    },
    "scores": {
        "margin": {"method": "deepfool", "model": "first", "shards": 2, "batch_size": 5},
        "difficulty": {"method": "classification_difficulty", "tracked": "first"},
    },
    "runs": {
        "first": {
            "training": {"keep_every": 2},
            "track": {"correct": {}, "loss": {"inputs": "attacked", "augmented": True}, "visits": {}},
        },
        "online": {
            "training": {"checkpoint": "best"},
            "prune": [
                {"by": "margin", "drop": "easiest", "fraction": 0.1},
                {"by": "difficulty", "drop": "hardest", "fraction": 0.05},
            ],
            "epsilon": {"policy": "iaat", "warmup_epochs": 2},
        },
    },
    "attacks": {
        "pgd": {"method": "pgd", "steps": 2},
        "held-out": {"method": "pgd", "steps": 2, "split": "validation", "runs": []},
    },
    "reports": {"kept": {"kind": "kept_epochs", "runs": ["first"], "attack": "held-out"}},
}


@pytest.fixture
def make_study(make_checkout: Callable[[], Checkout]) -> Callable[[], Checkout]:
    def make() -> Checkout:
        checkout = make_checkout()
        (checkout.folder / "killed.yaml").write_text(yaml.safe_dump(STUDY))
        return checkout

    return make


def run_at_most(checkout: Checkout, seconds: float | None) -> bool:
    """Run the study; kill the driver and its jobs, all at once, after some seconds. Return whether it ended before."""
    with subprocess.Popen(
        checkout.command(study="killed.yaml"),
        cwd=checkout.folder,
        env=checkout.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    ) as driver:
        try:
            output, _ = driver.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            jobs = psutil.Process(driver.pid).children(recursive=True)
            os.killpg(driver.pid, signal.SIGKILL)
            psutil.wait_procs(jobs)
            return False
    assert driver.returncode == 0, output
    return True


def final_files(checkout: Checkout) -> dict[str, bytes]:
    """Return every file of the results but logs, times and kept results; a state that is left is one too many."""
    results = checkout.folder / "results/killed"
    files = [path.relative_to(results) for path in results.rglob("*") if path.is_file()]
    return {str(path): (results / path).read_bytes() for path in files if _is_final(path)}


def _is_final(path: Path) -> bool:
    return path.suffix == ".state" if path.parts[0] == "work" else path.parts[0] not in ("logs", "benchmarks")


def num_resumed(checkout: Checkout) -> int:
    logs = (checkout.folder / "results/killed/logs").rglob("*.log")
    return sum("go on from the state at" in Path(log).read_text() for log in logs)


@pytest.mark.slow
def test_study_killed_at_random_instants_ends_with_the_same_bytes(make_study: Callable[[], Checkout]) -> None:
    whole = make_study()
    started = time.monotonic()
    assert run_at_most(whole, None)
    length = time.monotonic() - started
    expected = final_files(whole)
    assert len(expected) > 15
    generator = np.random.default_rng(0)
    kills, resumed = 0, 0
    while kills < KILLS:
        checkout = make_study()
        while not run_at_most(checkout, generator.uniform(0, length / 2) if kills < KILLS else None):
            kills += 1
        resumed += num_resumed(checkout)
        found = final_files(checkout)
        assert sorted(found) == sorted(expected)
        assert [name for name in expected if found[name] != expected[name]] == []
    assert resumed > 0


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a disk")
def test_results_folder_that_cannot_be_written_is_told_before_the_first_job(make_study: Callable[[], Checkout]) -> None:
    checkout = make_study()
    results = checkout.folder / "results"
    results.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(results)], check=True)
    try:
        refused = checkout.run(study="killed.yaml")
    finally:
        subprocess.run(["umount", str(results)], check=True)
    assert refused.returncode == 1
    assert "Error: expected a results folder that can be written, got: Read-only file system at" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
def test_sigterm_to_the_driver_reaches_its_job_which_saves_its_state(make_study: Callable[[], Checkout]) -> None:
    """The training would take hours; the driver gets SIGTERM once its state is there."""
    checkout = make_study()
    checkout.edit("killed.yaml", "    epochs: 6\n", "    epochs: 100000\n")
    checkout.edit("killed.yaml", "keep_every: 2\n", "keep_every: 50000\n")
    target = "results/killed/models/first/seed0/model.safetensors"
    state = checkout.folder / "results/killed/work/models/first/seed0.state"
    command = checkout.command(target, study="killed.yaml")
    with subprocess.Popen(
        command, cwd=checkout.folder, env=checkout.environment, stderr=subprocess.PIPE, text=True
    ) as driver:
        while driver.poll() is None and not state.is_file():
            time.sleep(0.1)
        driver.terminate()
        _, errors = driver.communicate()
    assert driver.returncode == 1
    assert "Error: stopped by SIGTERM, the state is saved at results/killed/work/models/first/seed0.state" in errors
    assert "Traceback" not in errors
    assert state.is_file()
