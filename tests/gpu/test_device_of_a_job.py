"""Two jobs, one visible device. Needs no Snakemake."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
ROOT = Path(__file__).parents[2]
JOB = """
import logging, sys
from pumalib.jobs.devices import resolve_device
logging.basicConfig(level=logging.INFO, format="%(message)s")
print(resolve_device("auto"), flush=True)
sys.stdin.read()
"""


def test_a_second_job_waits_for_the_device_of_the_first(tmp_path):
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": visible}
    pipe = subprocess.PIPE
    start = {"env": environment, "stdout": pipe, "stderr": pipe, "text": True}
    with subprocess.Popen([sys.executable, "-c", JOB], stdin=pipe, **start) as first:
        assert first.stdout.readline() == "cuda\n"
        with subprocess.Popen([sys.executable, "-c", JOB], stdin=subprocess.DEVNULL, **start) as second:
            assert any(line.startswith("waiting for a device") for line in second.stderr)
            first.kill()
            assert second.stdout.read() == "cuda\n"
