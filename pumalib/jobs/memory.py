"""Memory that a job needs, asked for before the work begins: a system that runs out of it kills jobs without a word."""

from __future__ import annotations

import math
from pathlib import Path

import psutil
import torch

from pumalib.errors import ResourceError
from pumalib.files.sizes import size_in_words

_GROUPS = Path("/sys/fs/cgroup")


def expect_memory(device: str | torch.device, needed: int, batch: tuple[int, tuple[int, ...]], advice: str) -> None:
    """Refuse work on a batch that needs more memory than is free.

    Args:
        device: torch device.
        needed: bytes, about.
        batch: images in it, and shape (H, W, C) of one, for the message.
        advice: which settings to change.

    Raises:
        ResourceError: there is less.
    """
    free = free_memory(torch.device(device))
    if needed > free:
        count, (height, width, *_) = batch
        raise ResourceError(
            f"expected about {size_in_words(needed)} of memory for a batch of {count} images of {height}x{width} "
            f"pixels, got {size_in_words(free)} free on {device}; {advice}"
        )


def free_memory(device: torch.device) -> float:
    """Return the bytes that are free on a device; inf: not known."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return float(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return min(float(psutil.virtual_memory().available), _left_to_group()) if device.type == "cpu" else math.inf


def _left_to_group() -> float:
    """Return the bytes that a scheduler or a container leaves to this process; caches of files count as free."""
    try:
        own = _GROUPS / Path("/proc/self/cgroup").read_text(encoding="ascii").strip().rpartition("::/")[2]
        groups = [group for group in (own, *own.parents) if group.is_relative_to(_GROUPS)]
        left = min((left_in(group) for group in groups if (group / "memory.max").is_file()), default=math.inf)
    except (OSError, ValueError):
        return math.inf
    return left


def left_in(group: Path) -> float:
    """Return the bytes that are left in a control group (version 2); what the system can take back counts as free."""
    most = (group / "memory.max").read_text(encoding="ascii").strip()
    if most == "max":
        return math.inf
    used = float((group / "memory.current").read_text(encoding="ascii"))
    lines = (line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    cached = sum(float(value) for name, value in lines if name in ("active_file", "inactive_file", "slab_reclaimable"))
    return float(most) - used + cached
