"""BatchNorm care in adversarial training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

FIRST_MOMENTUM, MOMENTUM = 1.0, 0.01


@contextmanager
def unrecorded_statistics(model: nn.Module) -> Iterator[None]:
    """Use batch statistics inside without updating the running ones: what the inner attack needs."""
    layers = [layer for layer in model.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def set_momentum(model: nn.Module, is_first_step: bool) -> None:
    """Let the first step overwrite the running statistics, and later steps move them by 1 % (Wang et al. 2023)."""
    for layer in model.modules():
        if isinstance(layer, _BatchNorm):
            layer.momentum = FIRST_MOMENTUM if is_first_step else MOMENTUM
