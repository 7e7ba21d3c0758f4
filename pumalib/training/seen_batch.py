"""A batch of the pool as a model sees it: what every tracked quantity gets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SeenBatch:
    """A batch seen by a model; quantities share its logits.

    Attributes:
        model: in eval mode.
        inputs: [B, C, H, W] float32 in [0, 1], clean or attacked.
        labels: [B] int64.
    """

    model: nn.Module
    inputs: Tensor
    labels: Tensor

    @cached_property
    def logits(self) -> Tensor:
        """[B, K], without a graph."""
        with torch.no_grad():
            logits: Tensor = self.model(self.inputs)
        return logits
