"""Which device a job computes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from pumalib.errors import ConfigError, ResourceError

DeviceChoice = Literal["auto", "cpu", "cuda"]


def resolve_device(choice: str) -> str:
    """Return `cpu` or `cuda`; `auto` takes CUDA where there is one.

    Raises:
        ConfigError: `cuda` was asked for and there is none.
    """
    if choice == "cuda" and not torch.cuda.is_available():
        raise ConfigError("expected a CUDA device (device: cuda), found none; use device: auto or cpu")
    if choice == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return choice


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
        _, found, bytes_asked = str(error).partition(_NO_CPU_MEMORY)
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not found:
            raise
        reason = (found + bytes_asked or str(error) or "no more is known").split(". ")[0].splitlines()[0]
        raise ResourceError(f"expected memory enough on {device}, ran out of it ({reason}); {advice}") from error


_NO_CPU_MEMORY = "DefaultCPUAllocator: can't allocate memory"
