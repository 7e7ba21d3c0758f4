"""Images of a selection, ready for the device: kept there as uint8 when they fit, memory-mapped when not."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor


class RowReader(Protocol):
    """Anything that gives uint8 [B, H, W, C] for row numbers: a pool's images, or an array."""

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]: ...


class SelectedImages:
    """The images of the selected rows.

    Args:
        images: uint8 [N, H, W, C] of the whole pool.
        rows: [K] int64 ascending, the selected rows.
        image_bytes: bytes of one image.
        device: where batches go.
        limit_gib: keep the selected images on the device up to this size.
    """

    def __init__(
        self,
        images: RowReader,
        rows: NDArray[np.int64],
        image_bytes: int,
        device: torch.device,
        limit_gib: float,
    ) -> None:
        self._images = images
        self._device = device
        fits = len(rows) * image_bytes <= limit_gib * 2**30
        self._resident = torch.from_numpy(images[rows]).to(device) if fits else None

    @property
    def is_resident(self) -> bool:
        """Whether the images are kept on the device."""
        return self._resident is not None

    def gather(self, rows: NDArray[np.int64], places: Tensor) -> Tensor:
        """Return uint8 [B, H, W, C] on the device.

        Args:
            rows: [B] row numbers of the pool.
            places: [B] int64, where they stand among the selected rows, on the device.
        """
        if self._resident is None:
            return torch.from_numpy(self._images[rows]).to(self._device)
        return self._resident[places]


def augment(images: Tensor, padding: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Shift each image by a random crop of its zero-padded self, and flip half of them.

    Args:
        images: [B, H, W, C] uint8.
        padding: pixels of zero padding; 0: no crops.
        flip: whether to flip left to right with probability one half.
        generator: source of randomness, on the images' device.
    """
    count, height, width, _ = images.shape
    device = images.device
    if flip:
        is_flipped = torch.rand(count, generator=generator, device=device) < 0.5
        images = torch.where(is_flipped[:, None, None, None], images.flip(2), images)
    if padding:
        offsets = torch.randint(2 * padding + 1, (2, count), generator=generator, device=device)
        padded = F.pad(images, (0, 0, padding, padding, padding, padding))
        vertical = offsets[0][:, None] + torch.arange(height, device=device)
        horizontal = offsets[1][:, None] + torch.arange(width, device=device)
        batch = torch.arange(count, device=device)
        images = padded[batch[:, None, None], vertical[:, :, None], horizontal[:, None, :]]
    return images
