"""The tests for a real GPU, on the pretended one."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_tests_of_a_gpu_pass_on_the_pretended_one():
    plugin = ["-p", "tests.pretend_device", "--pretend-device"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        *plugin,
        "-m",
        "gpu",
        "tests/gpu/test_cuda.py",
        "tests/gpu/test_cuda_stages.py",
    ]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert ran.returncode == 0, ran.stdout
    assert "19 passed, 1 skipped" in ran.stdout
