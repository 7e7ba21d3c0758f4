"""A training over two nodes of a SLURM, each a daemon on this machine; one of them dies on the way."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from pretend_slurm import driver, pretend_cluster
from safetensors.torch import load_file

pytestmark = pytest.mark.slurm

OWN = """
import os
import signal
import time
from pathlib import Path

import torch

NODE = os.environ.get("SLURMD_NODENAME")
passes = 0

class Net(torch.nn.Module):
    def __init__(self, image_shape, num_classes):
        super().__init__()
        height, width, channels = image_shape
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(height * width * channels, num_classes))
        if "RANK" in os.environ and NODE is not None:
            Path(f"node-{NODE}-rank-{os.environ['RANK']}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])

    def forward(self, images):
        global passes
        passes += 1
        if os.environ.get("RANK") == "2" and passes == 60 and not Path("has-died").exists():
            Path("has-died").touch()
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)
        return self.layers(images)
"""

STUDY = {
    "study": "tiny",
    "seeds": [0],
    "save_every_seconds": 0,
    "threat": {"norm": "linf", "epsilon": 0.2},
    "datasets": {"digits": {"source": "digits", "split": "seeded", "test_fraction": 0.3, "validation_fraction": 0.1}},
    "pools": {"digits": {"dataset": "digits"}},
    "runs": {
        "trades": {
            "pool": "digits",
            "architecture": "own:Net",
            "training": {
                "epochs": 3,
                "samples_per_epoch": 640,
                "batch_size": 64,
                "attack_steps": 2,
                "crop_padding": 0,
                "devices": 2,
                "nodes": 2,
            },
        },
    },
    "attacks": {"pgd": {"method": "pgd", "steps": 2}},
}
MODEL = "results/tiny/models/trades/seed0"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pretend_cluster(tmp_path_factory.mktemp("cluster"), count=2):
        yield


@pytest.fixture(scope="module")
def finished_on_nodes(cluster: None, make_checkout: Callable) -> Path:
    """A checkout whose study ended on the two nodes, after one of them died."""
    folder = make_checkout().folder
    (folder / "own.py").write_text(OWN)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(STUDY))
    assert driver(folder, f"{MODEL}/model.safetensors").wait(timeout=1200) == 0, (folder / "driver.log").read_text()
    return folder


def test_two_nodes_train_what_one_process_does(finished_on_nodes: Path, make_checkout: Callable) -> None:
    here = make_checkout()
    study = yaml.safe_load(yaml.safe_dump(STUDY))
    del study["runs"]["trades"]["training"]["devices"], study["runs"]["trades"]["training"]["nodes"]
    (here.folder / "own.py").write_text(OWN)
    (here.folder / "tiny.yaml").write_text(yaml.safe_dump(study))
    result = here.run(f"{MODEL}/model.safetensors")
    assert result.returncode == 0, result.stderr
    one, two = here.folder / MODEL, finished_on_nodes / MODEL
    expected, found = load_file(one / "model.safetensors"), load_file(two / "model.safetensors")
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-4, atol=1e-5)
    histories = [pd.read_csv(path / "history.csv") for path in (one, two)]
    pd.testing.assert_frame_equal(*histories, rtol=1e-4)


def test_each_node_had_two_ranks_and_a_gpu_for_each(finished_on_nodes: Path) -> None:
    ranks = {path.name: path.read_text() for path in finished_on_nodes.glob("node-*")}
    assert ranks == {
        "node-pretend1-rank-0": "0,1",
        "node-pretend1-rank-1": "0,1",
        "node-pretend2-rank-2": "0,1",
        "node-pretend2-rank-3": "0,1",
    }


def test_a_node_that_died_ended_the_job_with_one_sentence_and_the_next_went_on(finished_on_nodes: Path) -> None:
    errors = (finished_on_nodes / "results/tiny/logs/errors.txt").read_text()
    assert errors.startswith("expected every node of the training to live on, got no sign of node 1 (")
    assert errors.count("expected") == 1
    log = (finished_on_nodes / "driver.log").read_text()
    assert len(re.findall("Trying to restart job", log)) == 1
    assert "go on from the state at" in (finished_on_nodes / "results/tiny/logs/models/trades/seed0.log").read_text()


def test_a_job_with_too_few_nodes_is_refused_in_one_sentence(cluster: None, finished_on_nodes: Path) -> None:
    """In a job of one node, as for a whole study (docs/cluster.md), srun finds no second."""
    command = f"{sys.executable} -m snakemake --cores 2 --configfile tiny.yaml --forcerun model_on_nodes"
    environment = {**os.environ, "PYTHONPATH": str(finished_on_nodes)}
    subprocess.run(
        ["sbatch", "--wait", "--nodes=1", "--cpus-per-task=2", f"--wrap={command}"],
        cwd=finished_on_nodes,
        env=environment,
        check=False,
        timeout=600,
    )
    errors = (finished_on_nodes / "results/tiny/logs/errors.txt").read_text()
    assert errors.startswith("expected srun to start a task on each other node of job ")
    assert "; see that the job has as many nodes as training.nodes says\n" in errors
