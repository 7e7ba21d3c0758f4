from collections.abc import Callable

import pytest
import torch
from torch import nn

Maker = Callable[..., nn.Module]


@pytest.fixture
def small_net() -> Maker:
    """Return a maker of a small network of [B, 1, 2, 3] images with a normalisation layer, weights from a seed."""

    def make(seed: int = 0) -> nn.Module:
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)).train()

    return make
