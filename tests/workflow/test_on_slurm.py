"""A study through a real SLURM of one node: a job fails, one is cancelled, the driver is killed; two kinds of GPUs."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from pretend_slurm import driver, pretend_cluster

pytestmark = pytest.mark.slurm

OWN = """
import os
from pathlib import Path

import torch

JOB = os.environ.get("SLURM_JOB_ID")

class Net(torch.nn.Module):
    def __init__(self, image_shape, num_classes):
        super().__init__()
        height, width, channels = image_shape
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(height * width * channels, num_classes))
        if JOB is not None:
            Path(f"job-{JOB}").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))

    def forward(self, images):
        return self.layers(images)

def confidence(model, images, labels):
    if JOB is not None:
        try:
            Path("has-failed").touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            raise RuntimeError("the first job fails")
    return model(images).softmax(1).amax(1)
"""

HELD_OUT = {"validation_fraction": 0.1, "held_out_fraction": 0.2}
STUDY = {
    "study": "tiny",
    "seeds": [0],
    "threat": {"norm": "linf", "epsilon": 0.2},
    "datasets": {"digits": {"source": "digits", "split": "seeded", "test_fraction": 0.3, **HELD_OUT}},
    "pools": {"digits": {"dataset": "digits", "synthetic": {"method": "held_out"}}},
    "defaults": {
        "pool": "digits",
        "architecture": "own:Net",
        "training": {"epochs": 2, "samples_per_epoch": 640, "batch_size": 64, "attack_steps": 2, "crop_padding": 0},
    },
    "scores": {"confidence": {"method": "own:confidence", "model": "trades", "higher_is": "easier", "shards": 2}},
    "runs": {
        "trades": {},
        "pruned": {
            "prune": [{"by": "confidence", "drop": "easiest", "fraction": 0.2}],
            "training": {"devices": 2},
        },
        "theirs": {"checkpoint": "theirs.pt", "architecture": "own:Net"},
    },
    "attacks": {"pgd": {"method": "pgd", "steps": 2}},
    "reports": {
        "table": {"kind": "comparison", "baseline": "trades"},
        "nearest": {"kind": "nearest_neighbours", "pool": "digits"},
    },
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pretend_cluster(tmp_path_factory.mktemp("cluster"), count=1):
        yield


def trainings() -> set[str]:
    """Return the identifiers of the trainings that run on the cluster."""
    command = ["squeue", "--noheader", "--states=RUNNING", "--format=%i %k"]
    jobs = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return {identifier for identifier, rule in map(str.split, jobs) if rule.startswith("rule_model_")}


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 900
    while not condition():
        assert process.poll() is None, (folder / "driver.log").read_text()
        assert time.monotonic() < deadline, (folder / "driver.log").read_text()
        time.sleep(0.2)


def write_study(folder: Path, **changes: object) -> None:
    (folder / "own.py").write_text(OWN)
    (folder / "tiny.yaml").write_text(yaml.safe_dump({**STUDY, **changes}))
    weights = {"layers.1.weight": torch.eye(10, 64), "layers.1.bias": torch.zeros(10)}
    torch.save(weights, folder / "theirs.pt")


@pytest.fixture(scope="module")
def finished_on_slurm(cluster: None, make_checkout: Callable) -> Path:
    """A checkout whose study ended on the cluster, after a cancelled job, a killed driver and a failed job."""
    checkout = make_checkout()
    checkout.edit("profiles/slurm/config.yaml", "  # gpu_model: a100", "  gpu_model: fast")
    checkout.edit("profiles/slurm/config.yaml", "\n  gpu: 1", "\n  gpu: 2")
    folder = checkout.folder
    write_study(folder)
    first = driver(folder)
    wait_for(lambda: bool(trainings()), first, folder)
    (cancelled,) = trainings()
    subprocess.run(["scancel", cancelled], check=True)
    wait_for(lambda: bool(trainings() - {cancelled}), first, folder)

    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert trainings(), "expected the job to outlive the driver"
    run = re.search(r"SLURM run ID: (\S+)", (folder / "driver.log").read_text())[1]
    subprocess.run(["scancel", f"--name={run}"], check=True)
    assert driver(folder).wait() == 0, (folder / "driver.log").read_text()
    return folder


def test_results_of_the_cluster_are_those_of_this_machine(finished_on_slurm, make_checkout):
    here = make_checkout()
    write_study(here.folder)
    result = here.run()
    assert result.returncode == 0, result.stderr
    paths = ["results.csv", "reports/table.csv", "reports/nearest.csv"]
    paths += [f"models/{run}/seed0/model.safetensors" for run in STUDY["runs"]]
    for path in paths:
        on_slurm = (finished_on_slurm / "results/tiny" / path).read_bytes()
        assert on_slurm == (here.folder / "results/tiny" / path).read_bytes(), path


def test_jobs_that_failed_or_were_cancelled_were_sent_again(finished_on_slurm):
    log = (finished_on_slurm / "driver.log").read_text()
    assert "SLURM status is: 'CANCELLED'" in log
    assert "SLURM status is: 'FAILED'" in log
    assert "the first job fails" in (finished_on_slurm / "results/tiny/logs/errors.txt").read_text()
    assert len(re.findall("Trying to restart job", log)) == 2


def asked(folder: Path) -> dict[str, set[str | None]]:
    """Return the GPUs that jobs asked SLURM for, by rule, those of trainings by rule and wildcards."""
    found: dict[str, set[str | None]] = {}
    sent = re.findall(r"slurm_logs/rule_(\w+)/(?:(\w+)/)?(\d+)\.log", (folder / "driver.log").read_text())
    for rule, wildcards, job in sent:
        command = ["scontrol", "show", "job", job]
        shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        gpus = re.search(r"TresPerJob=gres:gpu:(\S+)", shown)
        found.setdefault(f"model {wildcards}" if rule == "model" else rule, set()).add(gpus and gpus[1])
    return found


def test_jobs_that_compute_ask_for_gpus_of_the_kind_and_others_for_none(finished_on_slurm):
    assert asked(finished_on_slurm) == {
        **{"model trades_0": {"fast:1"}, "model pruned_0": {"fast:2"}, "score_shard": {"fast:1"}, "attack": {"fast:1"}},
        **{"import_model": {None}, "synthetic": {None}, "nearest": {None}},
    }


def test_a_study_for_the_cpu_asks_for_no_gpu(cluster, make_checkout):
    checkout = make_checkout()
    checkout.edit("profiles/slurm/config.yaml", "  # gpu_model: a100", "  gpu_model: fast")
    write_study(checkout.folder, device="cpu")
    ended = driver(checkout.folder, "results/tiny/models/trades/seed0/model.safetensors").wait()
    assert ended == 0, (checkout.folder / "driver.log").read_text()
    assert asked(checkout.folder) == {"synthetic": {None}, "model trades_0": {None}}


def test_training_over_more_devices_than_a_job_may_ask_gpus_for_is_refused(cluster, make_checkout):
    checkout = make_checkout()
    write_study(checkout.folder)
    assert driver(checkout.folder).wait() == 1
    message = "expected gpu of at least 2 under resources of the profile, the devices of run pruned, got 1; raise it"
    assert message in (checkout.folder / "driver.log").read_text()
    assert not (checkout.folder / "results/tiny/datasets").exists()


def test_one_door_sends_jobs_and_shows_a_line_for_each(cluster, make_checkout):
    checkout = make_checkout()
    checkout.edit("profiles/slurm/config.yaml", "status-checks: 10", "status-checks: 2")
    write_study(checkout.folder, device="cpu")
    command = [sys.executable, "-m", "pumalib", "run", "tiny.yaml", "--profile", "slurm", "--"]
    command.append("results/tiny/models/trades/seed0/model.safetensors")
    found = os.pathsep.join([str(checkout.folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    environment = {**os.environ, "PYTHONPATH": found, "XDG_CACHE_HOME": str(checkout.folder / ".cache")}
    ended = subprocess.run(
        command, cwd=checkout.folder, env=environment, stderr=subprocess.PIPE, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stderr.splitlines() if line.startswith("[")]
    assert re.search(r"^\[5 of 5\] train trades, seed 0 ", lines[-1]), ended.stderr
    assert len(lines) == 5


def test_each_job_was_given_gpus_of_its_own_where_it_asked(finished_on_slurm):
    given = {path.read_text() for path in finished_on_slurm.glob("job-*")}
    assert given == {"none", "0", "1", "0,1"}  # 2 is of the other kind


def test_nothing_is_left_to_do(finished_on_slurm):
    assert driver(finished_on_slurm, "--dry-run").wait() == 0
    assert "Nothing to be done" in (finished_on_slurm / "driver.log").read_text().rsplit("Building DAG", 1)[1]
