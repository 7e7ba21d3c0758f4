"""A study through a real SLURM of one node: a job fails, one is cancelled, the driver is killed."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.slurm
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
CLUSTER = Path(__file__).with_name("cluster.sh")
PLUGIN = "snakemake_executor_plugin_slurm"

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
            Path(f"job-{JOB}").write_text(os.environ["CUDA_VISIBLE_DEVICES"])

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

STUDY = {
    "study": "tiny",
    "seeds": [0],
    "threat": {"norm": "linf", "epsilon": 0.2},
    "datasets": {"digits": {"source": "digits", "split": "seeded", "test_fraction": 0.3, "validation_fraction": 0.1}},
    "pools": {"digits": {"dataset": "digits"}},
    "defaults": {
        "pool": "digits",
        "architecture": "own:Net",
        "training": {"epochs": 2, "samples_per_epoch": 640, "batch_size": 64, "attack_steps": 2, "crop_padding": 0},
    },
    "scores": {"confidence": {"method": "own:confidence", "model": "trades", "higher_is": "easier", "shards": 2}},
    "runs": {"trades": {}, "pruned": {"prune": [{"by": "confidence", "drop": "easiest", "fraction": 0.2}]}},
    "attacks": {"pgd": {"method": "pgd", "steps": 2}},
    "reports": {"table": {"kind": "comparison", "baseline": "trades"}},
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    if find_spec(PLUGIN) is None:
        pytest.skip(f"no {PLUGIN}: pip install -e '.[dev,slurm]'")
    if os.geteuid() != 0:
        pytest.skip("the daemons of SLURM are started as root")
    if any(shutil.which(name) is None for name in PROGRAMS):
        if shutil.which("apt-get") is None:
            pytest.skip(f"no {', '.join(PROGRAMS)}: install SLURM and munge")
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "update"], check=True)
        subprocess.run(["apt-get", "install", "--yes", "slurm-wlm", "munge"], env=environment, check=True)
    folder = tmp_path_factory.mktemp("cluster")
    started = subprocess.run([CLUSTER, "start", folder], stderr=subprocess.PIPE, text=True, check=False)
    if started.returncode:
        pytest.skip(f"no cluster: {started.stderr}")
    yield
    subprocess.run([CLUSTER, "stop", folder], check=True)


def driver(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start Snakemake with the profile; its output is appended to `driver.log`."""
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", "--configfile", "tiny.yaml"]
    command += ["--slurm-init-seconds-before-status-checks", "2", *arguments]
    environment = {**os.environ, "PUMA_CHECK_CLOSURE": "1", "XDG_CACHE_HOME": str(folder / ".cache")}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    with open(folder / "driver.log", "ab") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)


def running() -> set[str]:
    """Return the identifiers of the jobs that run on the cluster."""
    command = ["squeue", "--noheader", "--states=RUNNING", "--format=%i"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 900
    while not condition():
        assert process.poll() is None, (folder / "driver.log").read_text()
        assert time.monotonic() < deadline, (folder / "driver.log").read_text()
        time.sleep(0.2)


@pytest.fixture(scope="module")
def finished_on_slurm(cluster: None, make_checkout: Callable) -> Path:
    """A checkout whose study ended on the cluster, after a cancelled job, a killed driver and a failed job."""
    folder = make_checkout().folder
    (folder / "own.py").write_text(OWN)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(STUDY))
    first = driver(folder)
    wait_for(lambda: bool(running()), first, folder)
    (cancelled,) = running()
    subprocess.run(["scancel", cancelled], check=True)
    wait_for(lambda: bool(running() - {cancelled}), first, folder)

    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert running(), "expected the job to outlive the driver"
    run = re.search(r"SLURM run ID: (\S+)", (folder / "driver.log").read_text())[1]
    subprocess.run(["scancel", f"--name={run}"], check=True)
    assert driver(folder).wait() == 0, (folder / "driver.log").read_text()
    return folder


def test_results_of_the_cluster_are_those_of_this_machine(finished_on_slurm, make_checkout):
    here = make_checkout()
    (here.folder / "own.py").write_text(OWN)
    (here.folder / "tiny.yaml").write_text(yaml.safe_dump(STUDY))
    result = here.run()
    assert result.returncode == 0, result.stderr
    paths = ["results.csv", "reports/table.csv", *(f"models/{run}/seed0/model.safetensors" for run in STUDY["runs"])]
    for path in paths:
        on_slurm = (finished_on_slurm / "results/tiny" / path).read_bytes()
        assert on_slurm == (here.folder / "results/tiny" / path).read_bytes(), path


def test_jobs_that_failed_or_were_cancelled_were_sent_again(finished_on_slurm):
    log = (finished_on_slurm / "driver.log").read_text()
    assert "SLURM status is: 'CANCELLED'" in log
    assert "SLURM status is: 'FAILED'" in log
    assert "the first job fails" in (finished_on_slurm / "results/tiny/logs/errors.txt").read_text()
    assert len(re.findall("Trying to restart job", log)) == 2


def test_each_job_was_given_one_of_the_two_gpus(finished_on_slurm):
    assert {path.read_text() for path in finished_on_slurm.glob("job-*")} == {"0", "1"}


def test_light_jobs_ran_beside_the_driver(finished_on_slurm):
    log = (finished_on_slurm / "driver.log").read_text()
    assert set(re.findall(r"slurm_logs/rule_(\w+)/", log)) == {"model", "score_shard", "attack"}


def test_nothing_is_left_to_do(finished_on_slurm):
    assert driver(finished_on_slurm, "--dry-run").wait() == 0
    assert "Nothing to be done" in (finished_on_slurm / "driver.log").read_text().rsplit("Building DAG", 1)[1]
