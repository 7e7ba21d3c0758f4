"""Which device a job computes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

import torch

from pumalib.device_locks import hold_a_device, lock_folder
from pumalib.errors import ConfigError, ResourceError

DeviceChoice = Literal["auto", "cpu", "cuda"]


def resolve_device(choice: str) -> str:
    """Return `cpu` or `cuda`; `auto` takes CUDA where there is one.

    `cuda` is a device that this process then has for itself among the jobs of this user, to its end; where other jobs
    hold all that are visible, this waits.

    Raises:
        ConfigError: `cuda` was asked for and there is none.
    """
    if choice == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        _take_cuda_device()
        return "cuda"
    if choice == "cuda":
        raise ConfigError("expected a CUDA device (device: cuda), found none; use device: auto or cpu")
    return "cpu"


@cache
def _take_cuda_device() -> None:
    """Make a free device the current one, which `cuda` means from then on; once a process."""
    # An index depends on CUDA_VISIBLE_DEVICES; the identifier does not.
    names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
    index = hold_a_device(names, lock_folder())
    torch.cuda.set_device(index)
    logging.info("computing on device %d of %d, %s", index, len(names), torch.cuda.get_device_name(index))


def use_threads(count: int) -> None:
    """Fix torch's thread count: it changes the bits of CPU results, so it comes from the study alone."""
    torch.set_num_threads(count)


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
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or _NO_CPU_MEMORY in str(error)


_NO_CPU_MEMORY = "DefaultCPUAllocator: can't allocate memory"
