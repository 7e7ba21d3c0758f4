"""Memory that runs out: one sentence that says which settings to change."""

import numpy as np
import pytest
import torch

from pumalib.errors import ResourceError
from pumalib.jobs import device_locks
from pumalib.jobs.devices import enough_memory, hold_devices, use_precision


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


@pytest.mark.parametrize(
    "message",
    [
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call",
        "NCCL error in: ProcessGroupNCCL.cpp:1, unhandled cuda error. Last error: Cuda failure 2 'out of memory'",
    ],
)
def test_every_way_cuda_says_out_of_memory_is_understood(message):
    with pytest.raises(ResourceError, match=r"; lower it$"), enough_memory("cuda", "lower it"):
        raise RuntimeError(message)


@pytest.mark.parametrize("message", ["CUDA error: device-side assert triggered", "CUDNN_STATUS_NOT_SUPPORTED"])
def test_other_errors_of_cuda_are_left_as_they_are(message):
    with pytest.raises(RuntimeError, match=message), enough_memory("cuda", "lower it"):
        raise RuntimeError(message)


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use the device of this machine")
def test_a_job_that_cannot_use_the_device_of_its_machine_says_so_loudly(capsys, caplog, monkeypatch):
    monkeypatch.setattr(device_locks, "count_devices", lambda visible: 1)
    hold_devices.cache_clear()
    assert hold_devices("auto", 3) == ("cpu", "cpu", "cpu")
    for told in (capsys.readouterr().err, caplog.text):
        assert "this machine has CUDA devices (1) and torch" in told
        assert "computing on the CPU; mend the driver or the installation, or set device: cpu" in told


def test_a_machine_without_devices_is_nothing_to_tell(capsys, caplog, monkeypatch):
    monkeypatch.setattr(device_locks, "count_devices", lambda visible: 0)
    hold_devices.cache_clear()
    hold_devices("auto", 4)
    assert not capsys.readouterr().err
    assert not caplog.text


@pytest.mark.parametrize("tf32", [False, True])
def test_float32_is_float32_unless_tf32_is_asked_for(tf32):
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    try:
        use_precision(tf32)
        assert torch.backends.cudnn.allow_tf32 is torch.backends.cuda.matmul.allow_tf32 is tf32
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
