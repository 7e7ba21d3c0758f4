"""Which device a job computes on."""

from __future__ import annotations

import ctypes
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

from pumalib.errors import ConfigError, ResourceError
from pumalib.jobs import device_locks
from pumalib.jobs.device_locks import check_device_count


def resolve_device(choice: str) -> str:
    """Return `cpu` or `cuda`; `auto` takes CUDA where there is one.

    `cuda` is a device that this process then has for itself among the jobs of this user, to its end; where other jobs
    hold all that are visible, this waits.

    Raises:
        ConfigError: `cuda` was asked for and there is none.
    """
    (device,) = hold_devices(choice, 1)
    if device == "cpu":
        return "cpu"
    torch.cuda.set_device(device)
    return "cuda"


@cache
def hold_devices(choice: str, count: int) -> tuple[str, ...]:
    """Take the devices of a job, to its end: `cpu` so many times, or such as `cuda:0` and `cuda:2`; once a process.

    Where other jobs of this user hold too many of those that are visible, this waits.

    Raises:
        ConfigError: there are not so many, or none where `cuda` was asked for.
    """
    if choice == "cuda" and not torch.cuda.is_available():
        raise ConfigError("expected a CUDA device (device: cuda), found none; use device: auto or cpu")
    if choice == "cpu" or not torch.cuda.is_available():
        if choice == "auto":
            _tell_of_unused(device_locks.count_devices(os.environ.get("CUDA_VISIBLE_DEVICES")))
        return ("cpu",) * count
    # An index depends on CUDA_VISIBLE_DEVICES; the identifier does not.
    names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
    check_device_count(count, len(names))
    indices = device_locks.hold_devices(names, count, device_locks.lock_folder())
    for index in indices:
        logging.info("computing on device %d of %d, %s", index, len(names), torch.cuda.get_device_name(index))
    return tuple(f"cuda:{index}" for index in indices)


def _tell_of_unused(count: int) -> None:
    """Say loudly that a job computes on the CPU of a machine with CUDA devices, and why."""
    if not count:
        return
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        reason = "torch.cuda.is_available() is False"
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition(". ")[0].partition("\n")[0]
    text = (
        f"this machine has CUDA devices ({count}) and torch {torch.__version__} cannot use them ({reason}): computing "
        "on the CPU; mend the driver or the installation, or set device: cpu"
    )
    logging.warning("%s", text)
    print(f"Warning: {text}", file=sys.stderr)


def use_threads(count: int) -> None:
    """Fix torch's thread count: it changes the bits of CPU results, so it comes from the study alone."""
    torch.set_num_threads(count)


def use_precision(tf32: bool) -> None:
    """Say what float32 means on a CUDA device, for convolutions and matrix products alike.

    torch leaves TF32 on for convolutions, which moves logits far more than rounding does.

    Args:
        tf32: whether their factors may be rounded to TF32, 10 bits; else they are of float32, 23 bits.

    Example:
        >>> import torch
        >>> use_precision(tf32=False)
        >>> torch.backends.cudnn.allow_tf32
        False
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = tf32


def keep_freed_memory() -> None:
    """Let the memory that this process frees stay with it, for what it allocates next, where the C library is glibc.

    glibc gives large blocks back to the system at once. To ask for them anew and have them cleared took up to half the
    time of a convolutional network on a CPU, while the peak rose by a fifth (docs/performance.md).

    Example:
        >>> keep_freed_memory()
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, TypeError, OSError):  # another C library, or another system
        return
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(_M_MMAP_THRESHOLD, 2**30) or mallopt(_M_MMAP_THRESHOLD, 2**25)  # the most that older ones take


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's malloc.h."""


@contextmanager
def enough_memory(device: str, advice: str) -> Iterator[None]:
    """Say in one sentence that the work inside ran out of memory.

    Args:
        device: torch device.
        advice: which settings to change, e.g. "lower training.batch_size".

    Raises:
        ResourceError: it did.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        _, found, bytes_asked = str(error).partition(_NO_CPU_MEMORY)
        reason = (found + bytes_asked or str(error) or "no more is known").split(". ")[0].splitlines()[0]
        raise ResourceError(f"expected memory enough on {device}, ran out of it ({reason}); {advice}") from error


def ran_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error is for want of memory, of the machine or of a GPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or bool(_NO_MEMORY.search(str(error)))


_NO_CPU_MEMORY = "DefaultCPUAllocator: can't allocate memory"
_NO_MEMORY = re.compile(rf"{_NO_CPU_MEMORY}|\bout of memory\b|_ALLOC(ATION)?_FAILED\b|cudaErrorMemoryAllocation")
"""How torch, CUDA, cuDNN, cuBLAS, cuSOLVER and NCCL say so, where it is no `OutOfMemoryError`."""
