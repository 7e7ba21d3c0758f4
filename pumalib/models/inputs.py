"""Images as networks take them."""

from __future__ import annotations

import torch
from torch import Tensor


def to_model_input(images: Tensor) -> Tensor:
    """Convert uint8 [B, H, W, C] to float32 [B, C, H, W] in [0, 1]."""
    return images.permute(0, 3, 1, 2).to(torch.float32).div_(255).contiguous()
