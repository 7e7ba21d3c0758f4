"""Which device a job computes on."""

from __future__ import annotations

from typing import Literal

import torch

from pumalib.errors import ConfigError

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
