"""Images as networks take them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pumalib.data.image_readers import Images, read_rows


def to_model_input(images: Tensor) -> Tensor:
    """Convert uint8 [B, H, W, C] to float32 [B, C, H, W] in [0, 1]."""
    return images.permute(0, 3, 1, 2).to(torch.float32).div_(255).contiguous()


@dataclass(frozen=True)
class ModelInputs:
    """Images as networks take them, each batch of which is read when it is asked for.

    Attributes:
        images: [N, H, W, C] uint8.
        dtype: of the inputs.
    """

    images: Images
    dtype: torch.dtype = torch.float32

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """[N, C, H, W]."""
        count, height, width, channels = self.images.shape
        return count, channels, height, width

    def __getitem__(self, rows: slice) -> Tensor:
        numbers = np.arange(*rows.indices(len(self)))
        return to_model_input(torch.from_numpy(read_rows(self.images, numbers))).to(self.dtype)
