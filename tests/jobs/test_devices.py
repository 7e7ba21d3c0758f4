"""Memory that runs out: one sentence that says which settings to change."""

import numpy as np
import pytest
import torch

from pumalib.errors import ResourceError
from pumalib.jobs.devices import enough_memory


def fail_on_a_gpu() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1 GiB.")


def fail_in_torch() -> None:
    torch.empty(2**62, dtype=torch.uint8)


def fail_in_numpy() -> None:
    np.zeros(2**62, np.uint8)


@pytest.mark.parametrize(
    ("fail", "reason"),
    [
        (fail_on_a_gpu, r"CUDA out of memory"),
        (fail_in_torch, r"DefaultCPUAllocator: can't allocate memory: you tried to allocate 4611686018427387904 bytes"),
        (fail_in_numpy, r"Unable to allocate 4.00 EiB for an array with shape \(4611686018427387904,\).*"),
    ],
)
def test_memory_that_runs_out_is_told_with_what_to_lower(fail, reason):
    with (
        pytest.raises(ResourceError, match=rf"^expected memory enough on cpu, ran out of it \({reason}\); lower it$"),
        enough_memory("cpu", "lower it"),
    ):
        fail()


def test_other_errors_are_left_as_they_are():
    with pytest.raises(RuntimeError, match="sizes"), enough_memory("cpu", "lower it"):
        raise RuntimeError("sizes do not fit")
