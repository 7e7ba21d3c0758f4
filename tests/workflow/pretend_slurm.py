"""A SLURM on this machine for tests, and Snakemake's driver on it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "munged")
CLUSTER = Path(__file__).with_name("cluster.sh")
PLUGIN = "snakemake_executor_plugin_slurm"


@contextmanager
def pretend_cluster(folder: Path, count: int) -> Iterator[None]:
    """Start a cluster of so many nodes, or skip the test where none can be had."""
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
    started = subprocess.run([CLUSTER, "start", folder, str(count)], stderr=subprocess.PIPE, text=True, check=False)
    if started.returncode:
        pytest.skip(f"no cluster: {started.stderr}")
    try:
        yield
    finally:
        subprocess.run([CLUSTER, "stop", folder], check=True)


def driver(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """Start Snakemake with the profile; its output is appended to `driver.log`."""
    command = [sys.executable, "-m", "snakemake", "--workflow-profile", "profiles/slurm", "--configfile", "tiny.yaml"]
    command += ["--slurm-init-seconds-before-status-checks", "2", *arguments]
    environment = {**os.environ, "PUMA_CHECK_CLOSURE": "1", "XDG_CACHE_HOME": str(folder / ".cache")}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    with open(folder / "driver.log", "ab") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
