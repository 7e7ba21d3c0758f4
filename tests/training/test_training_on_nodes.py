"""The job of a training over two machines, each a network namespace with one process."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from namespaces import Machines, two_machines
from small_pool import write_small_pool

from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import load_trained

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PORT = 29400
JOB = """
import json
import sys
from pathlib import Path
from pumalib.jobs.frame import Frame, framed
from pumalib.files.provenance import code_fingerprint
from pumalib.jobs.states import StatePlace
from pumalib.training.job import train_on_devices
from pumalib.training.job_on_nodes import train_on_nodes
from pumalib.training.run_settings import RunSettings
from pumalib.training.task import RunPaths, TrainingTask

output = Path("results") / sys.argv[1]
named = ("methods.trades", "online.iaat", "quantities.loss")
code = code_fingerprint(__file__, *[f"pumalib.training.{name}" for name in named])
del code["job.py"]  # scripts of the workflow are found beside the library, this one is not
settings = RunSettings.model_validate(
    {
        "architecture": {"name": "own:Net"},
        "training": json.loads(sys.argv[2]),
        "threat": {"epsilon": 0.1},
        "epsilon": {"policy": "iaat", "warmup_epochs": 1},
        "track": {"visits": {}, "loss": {}},
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
frame = Frame(str(output / "logs/job.log"), str(output / "logs/errors.txt"), code, 1, "cpu", save_every_seconds=0)
with framed(frame):
    task = TrainingTask(settings, paths, "run", 0, StatePlace.of_job(frame))
    train = train_on_devices if settings.training.nodes == 1 else train_on_nodes
    train(frame, task)
"""
NETWORK = """
import os
import signal
import time
import torch
from torch import nn

passes = 0

class Net(nn.Module):
    def __init__(self, image_shape, num_classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, num_classes))

    def forward(self, images):
        global passes
        passes += 1
        if passes == 40 and os.environ.get("RANK") == "1" and "ENDING" in os.environ:
            if os.environ["ENDING"] == "out of memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
            if os.environ["ENDING"] == "node dies":
                os.kill(os.getppid(), signal.SIGKILL)
            if os.environ["ENDING"] == "told":
                print("here", flush=True)
            if os.environ["ENDING"] == "stopped":
                os.kill(os.getppid(), signal.SIGTERM)
                return self.layers(images)
            time.sleep(600)
        return self.layers(images)
"""
RECIPE = {"epochs": 3, "samples_per_epoch": 64, "batch_size": 16, "attack_steps": 2, "crop_padding": 0}
ON_NODES = {**RECIPE, "nodes": 2}


@pytest.fixture(scope="module")
def machines() -> Iterator[Machines]:
    with two_machines() as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a dataset, a pool of 40 rows, a selection of all, a network, and the script of the job."""
    folder = tmp_path_factory.mktemp("job")
    write_small_pool(folder)
    (folder / "own.py").write_text(NETWORK)
    (folder / "job.py").write_text(JOB)
    return folder


def start(folder: Path, before: list[str], arguments: list[str], **environment: str) -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, [environment.pop("before_path", ""), str(ROOT)]))
    kept = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PUMA_CHECK_CLOSURE": "1"}
    kept = {**kept, "TMPDIR": str(folder), "TORCH_CPP_LOG_LEVEL": "ERROR", **environment}
    pipe = subprocess.PIPE
    command = [*before, sys.executable, *arguments]
    return subprocess.Popen(command, cwd=folder, env=kept, stdout=pipe, stderr=pipe, text=True)


def first(folder: Path, machines: Machines, name: str, **changes: Any) -> subprocess.Popen[str]:
    """Start the job on the first machine."""
    recipe = json.dumps({**ON_NODES, **changes})
    address = f"{machines.addresses[0]}:{PORT}"
    return start(folder, machines.on(0), ["job.py", name, recipe], PUMA_FIRST_NODE=address)


def second(folder: Path, machines: Machines, **environment: str) -> subprocess.Popen[str]:
    """Let the second machine take part."""
    arguments = ["-m", "pumalib.training.job_on_nodes", f"{machines.addresses[0]}:{PORT}"]
    return start(folder, machines.on(1), arguments, **environment)


def run(folder: Path, machines: Machines, name: str, **environment: str) -> tuple[tuple[int, str], tuple[int, str]]:
    """Train on both machines; return the status of each, and what it wrote to stderr."""
    with first(folder, machines, name) as job, second(folder, machines, **environment) as server:
        errors = job.communicate(timeout=400)[1], server.communicate(timeout=400)[1]
    return (job.returncode, _own(errors[0])), (server.returncode, errors[1])


def _own(errors: str) -> str:
    """Leave out what tells the user to start the other node."""
    told, _, rest = errors.partition("\n")
    assert told.startswith("waiting for 1 more nodes: run `python -m pumalib node STUDY 10.77.0.1:29400` on each, in ")
    return rest


@pytest.fixture(scope="module")
def two(folder: Path, machines: Machines) -> Path:
    """Return the folder of a training over two machines that ran to its end."""
    job, server = run(folder, machines, "two")
    assert job == (0, "")
    assert server[0] == 0, server[1]
    return folder / "results/two"


def test_two_machines_train_what_one_process_does(folder: Path, two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    with start(folder, [], ["job.py", "one", json.dumps(RECIPE)]) as job:
        assert (job.communicate(timeout=240)[1], job.returncode) == ("", 0)
    one = folder / "results/one"
    architecture = ArchitectureSettings(name="own:Net")
    weights = [load_trained(path / "model.safetensors", "cpu", architecture).model.state_dict() for path in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for name, values in weights[0].items():
        torch.testing.assert_close(weights[1][name], values, rtol=1e-4, atol=1e-5)
    histories = [pd.read_csv(path / "history.csv") for path in (one, two)]
    assert histories[0].mean_epsilon.nunique() > 1, "expected the online policy to find epsilons"
    pd.testing.assert_frame_equal(*histories, rtol=1e-4)
    with h5py.File(one / "track.h5") as expected, h5py.File(two / "track.h5") as found:
        compared = []

        def compare(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub":
                np.testing.assert_allclose(found[name][()], item[()], rtol=1e-4, atol=1e-5)
                compared.append(name)

        expected.visititems(compare)
    assert len(compared) >= 3
    assert sorted(path.name for path in one.iterdir()) == sorted(path.name for path in two.iterdir())


def test_files_say_how_many_devices_there_were_and_not_where(two: Path) -> None:
    settings = (two / "run.yaml").read_text()
    assert "  devices: 2\n" in settings
    assert "nodes" not in settings


def test_a_node_that_dies_ends_the_job_with_one_sentence_and_the_next_goes_on_to_the_same_bits(
    folder: Path, machines: Machines, two: Path
) -> None:
    job, server = run(folder, machines, "died", ENDING="node dies")
    assert job[0] == 1
    assert job[1].startswith("Error: expected every node of the training to live on, got no sign of node 1 (")
    assert "for 30 s; see to that machine, then run the same command again to go on from the saved state" in job[1]
    assert job[1].count("Error") == 1
    assert server[0] == -signal.SIGKILL
    _goes_on(folder, machines, "died", two)


def _goes_on(folder: Path, machines: Machines, name: str, two: Path) -> None:
    """Run the job again, and compare what it wrote with an undisturbed training."""
    output = folder / "results" / name
    assert (folder / "results/work/job.state").exists() or list(folder.rglob("*.state"))
    job, server = run(folder, machines, name)
    assert (job, server[0]) == ((0, ""), 0), server[1]
    assert "go on from the state at" in (output / "logs/job.log").read_text()
    for file in ("model.safetensors", "history.csv", "track.h5"):
        assert (output / file).read_bytes() == (two / file).read_bytes()


def test_a_cable_that_is_pulled_ends_both_nodes(folder: Path, machines: Machines) -> None:
    with first(folder, machines, "cut", epochs=10_000) as job, second(folder, machines, ENDING="told") as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "here\n"
        machines.cut()
        try:
            errors = job.communicate(timeout=240)[1], server.communicate(timeout=240)[1]
        finally:
            machines.mend()
    assert (job.returncode, server.returncode) == (1, 1)
    assert "Error: expected every node of the training to live on, got no sign of node 1 (" in errors[0]
    assert "expected the first node of the training to live on, lost the connection to it, or got no sign" in errors[1]


def test_an_error_on_the_other_node_is_that_of_the_job(folder: Path, machines: Machines) -> None:
    job, _ = run(folder, machines, "memory", ENDING="out of memory")
    assert job[0] == 1
    assert job[1].startswith("Error: expected memory enough on cpu, ran out of it (CUDA out of memory); lower device_")
    assert job[1].count("Error") == 1


def test_a_node_that_is_stopped_stops_all_and_the_next_run_goes_on(folder: Path, machines: Machines, two: Path) -> None:
    job, server = run(folder, machines, "stopped", ENDING="stopped")
    assert job[0] == 128 + signal.SIGTERM
    assert job[1].startswith("Error: stopped by SIGTERM, the state is saved at ")
    assert job[1].count("Error") == 1
    assert server[0] == 1
    _goes_on(folder, machines, "stopped", two)


def test_other_versions_are_refused_before_training(folder: Path, machines: Machines, tmp_path: Path) -> None:
    metadata = tmp_path / "torchvision-0.0.1.dist-info/METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.0.1\n")
    job, server = run(folder, machines, "versions", before_path=str(tmp_path))
    assert job[0] == 1
    assert job[1].startswith("Error: expected torchvision ")
    assert " on every node of the training, got torchvision 0.0.1 on " in job[1]
    assert "; install the same versions on every node\n" in job[1]
    assert "got torchvision 0.0.1 on " in server[1]
    assert not list((folder / "results/versions").rglob("*.state"))


def test_a_node_in_another_folder_is_refused(folder: Path, machines: Machines, tmp_path: Path) -> None:
    shutil.copy2(folder / "own.py", tmp_path)
    with first(folder, machines, "elsewhere") as job, second(tmp_path, machines) as server:
        errors = job.communicate(timeout=240)[1], server.communicate(timeout=240)[1]
    assert (job.returncode, server.returncode) == (1, 1)
    assert "Error: expected the results folder of the first node (" in errors[0]
    assert "; start every node in the same folder of a disk that all share" in errors[0]


def test_a_first_node_that_dies_ends_the_other(folder: Path, machines: Machines) -> None:
    with first(folder, machines, "orphans", epochs=10_000) as job, second(folder, machines, ENDING="told") as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "here\n"
        ranks = psutil.Process(server.pid).children(recursive=True)
        job.kill()
        errors = server.communicate(timeout=240)[1]
        job.communicate()
    assert server.returncode == 1
    assert "expected the first node of the training to live on" in errors
    assert not any(rank.is_running() for rank in ranks)


def test_a_job_that_is_told_of_no_address_is_refused(folder: Path) -> None:
    with start(folder, [], ["job.py", "alone", json.dumps(ON_NODES)]) as job:
        errors = job.communicate(timeout=240)[1]
    assert job.returncode == 1
    assert errors.startswith("Error: expected PUMA_FIRST_NODE=HOST:PORT in the environment for training.nodes 2, found")
