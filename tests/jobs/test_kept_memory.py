import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import resource, sys
import torch
from pumalib.jobs.frame import Frame, framed


def faults_of_tensors():
    for _ in range(30):  # the first ones may leave gaps
        torch.ones(2**24)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


alone = faults_of_tensors()
with framed(Frame("log.txt", "errors.txt", {}, threads=1)):
    print(alone, faults_of_tensors())
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_a_job_does_not_ask_again_for_memory_that_it_freed(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=tmp_path, check=True, capture_output=True, text=True)
    alone, in_a_job = map(int, done.stdout.split())
    assert in_a_job < 100 < alone
