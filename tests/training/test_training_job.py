"""The job of a training over two devices, as the workflow starts it: one process that starts two by torchrun."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import torch
from small_pool import write_small_pool

from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import load_trained

ROOT = Path(__file__).parents[2]
JOB = """
import json
import sys
from pathlib import Path
from pumalib.jobs.frame import Frame, framed
from pumalib.files.provenance import code_fingerprint
from pumalib.jobs.states import StatePlace
from pumalib.training.job import train_on_devices
from pumalib.training.run_settings import RunSettings
from pumalib.training.task import RunPaths, TrainingTask

output = Path(sys.argv[1])
code = code_fingerprint(__file__, "pumalib.training.methods.trades")
settings = RunSettings.model_validate(
    {
        "architecture": {"name": "ending:Net"},
        "training": json.loads(sys.argv[2]),
        "threat": {"epsilon": 0.1},
        "track": {"visits": {}},
    }
)
paths = RunPaths(
    dataset=Path("dataset.h5"),
    pool=Path("pool.h5"),
    selection=Path("selection.h5"),
    model=output / "model.safetensors",
    history=output / "history.csv",
    track=output / "track.h5",
    settings=output / "run.yaml",
)
log, errors = str(output / "logs/job.log"), str(output / "logs/errors.txt")
with framed(Frame(log, errors, code, threads=1, device="cpu")) as frame:
    train_on_devices(frame, TrainingTask(settings, paths, "run", 0, StatePlace(output / "run.state", 0)))
"""
NETWORK = """
import os
import signal
import time
from pathlib import Path
import torch
from torch import nn

ENDINGS = {
    "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stopped": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "told": lambda: (print(os.getpid(), flush=True), time.sleep(600)),
}
passes = 0

class Net(nn.Module):
    def __init__(self, image_shape, num_classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, num_classes))

    def forward(self, images):
        global passes
        passes += 1
        if passes == 30 and os.environ.get("RANK") == "1" and "ENDING" in os.environ:
            if os.environ["ENDING"] == "out of memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
            ENDINGS[os.environ["ENDING"]]()
        return self.layers(images)
"""
RECIPE = {"epochs": 3, "samples_per_epoch": 64, "batch_size": 16, "attack_steps": 2, "crop_padding": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a dataset, a pool of 40 rows, a selection of all, a network, and the script of the job."""
    folder = tmp_path_factory.mktemp("job")
    write_small_pool(folder)
    (folder / "ending.py").write_text(NETWORK)
    (folder / "job.py").write_text(JOB)
    return folder


def start(folder: Path, name: str, ending: str | None = None, **changes: Any) -> subprocess.Popen[str]:
    """Start the job that writes into a folder of this name; the second rank may end at its 30th pass."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PUMA_CHECK_CLOSURE": "1"}
    environment["TMPDIR"] = str(folder)  # a killed job leaves a folder there
    if ending is not None:
        environment["ENDING"] = ending
    recipe = json.dumps({**RECIPE, "devices": 2, **changes})
    pipe = subprocess.PIPE
    command = [sys.executable, "job.py", name, recipe]
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def run(folder: Path, name: str, ending: str | None = None, **changes: Any) -> tuple[int, str]:
    """Run the job to its end; return its status and what it wrote to stderr."""
    with start(folder, name, ending, **changes) as process:
        errors = process.communicate(timeout=240)[1]
    return process.returncode, errors


@pytest.fixture(scope="module")
def two(folder: Path) -> Path:
    """Return the folder of a training over two devices that ran to its end."""
    assert run(folder, "two") == (0, "")
    return folder / "two"


def weights(output: Path) -> dict[str, torch.Tensor]:
    model = load_trained(output / "model.safetensors", "cpu", ArchitectureSettings(name="ending:Net")).model
    return dict(model.state_dict())


def test_two_devices_train_the_model_of_one(folder: Path, two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    assert run(folder, "one", devices=1) == (0, "")
    for name, values in weights(folder / "one").items():
        torch.testing.assert_close(weights(two)[name], values, rtol=1e-4, atol=1e-5)
    histories = [pd.read_csv(output / "history.csv") for output in (folder / "one", two)]
    pd.testing.assert_frame_equal(*histories, rtol=1e-4)
    assert sorted(path.name for path in two.iterdir()) == sorted(path.name for path in (folder / "one").iterdir())


@pytest.mark.slow
def test_a_stopped_rank_stops_all_and_the_next_run_goes_on_to_the_same_bits(folder: Path, two: Path) -> None:
    status, errors = run(folder, "stopped", ending="stopped")
    assert status == 128 + signal.SIGTERM
    expected = (
        "stopped by SIGTERM, the state is saved at stopped/run.state; run the same command again to go on from it"
    )
    assert errors == f"Error: {expected}\n  log: stopped/logs/job.log\n\n"
    assert not (folder / "stopped/model.safetensors").exists()
    assert run(folder, "stopped") == (0, "")
    assert "go on from the state at stopped/run.state" in (folder / "stopped/logs/job.log").read_text()
    assert not (folder / "stopped/run.state").exists()
    for name in ("model.safetensors", "history.csv", "track.h5"):
        assert (folder / "stopped" / name).read_bytes() == (two / name).read_bytes()


@pytest.mark.slow
def test_a_killed_rank_ends_the_job_with_one_error_and_leaves_a_state(folder: Path) -> None:
    status, errors = run(folder, "killed", ending="killed")
    assert status == 1
    assert errors.startswith("Error: expected every process of the training to live on, got rank 1 (process ")
    assert errors.count("Error") == 1
    assert "ended by SIGKILL" in errors
    assert (folder / "killed/logs/errors.txt").read_text() in errors
    assert (folder / "killed/run.state").exists()


@pytest.mark.slow
def test_an_error_of_one_rank_is_that_of_the_job(folder: Path) -> None:
    status, errors = run(folder, "memory", ending="out of memory")
    assert status == 1
    assert errors.startswith("Error: expected memory enough on cpu, ran out of it (CUDA out of memory); lower device_")
    assert errors.count("Error") == 1


@pytest.mark.slow
def test_ranks_end_with_a_killed_job(folder: Path) -> None:
    with start(folder, "orphans", ending="told") as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        ranks = psutil.Process(process.pid).children()
        assert len(ranks) == 2
        process.kill()
        gone, alive = psutil.wait_procs(ranks, timeout=60)
    assert (len(gone), alive) == (2, [])


@pytest.mark.slow
def test_sigterm_to_the_job_reaches_its_ranks(folder: Path) -> None:
    with start(folder, "handed", epochs=10_000) as process:
        assert process.stdout is not None
        while not (folder / "handed/run.state").exists():
            assert process.poll() is None
        process.terminate()
        errors = process.communicate(timeout=240)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM, the state is saved at handed/run.state" in errors
