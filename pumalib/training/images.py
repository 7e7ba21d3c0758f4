"""Images of a selection, ready for the device: kept there as uint8 when they fit, else read ahead of the steps."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor

from pumalib.training.settings import ResizedCropSettings


class RowReader(Protocol):
    """Anything that gives uint8 [B, H, W, C] for row numbers: a pool's images, or an array."""

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Batch:
    """Rows of a batch.

    Attributes:
        rows: [B] row numbers of the pool.
        images: [B, H, W, C] uint8, read ahead; None: they are on the device, or not read yet.
    """

    rows: NDArray[np.int64]
    images: NDArray[np.uint8] | None = None


_AHEAD = 2
"""Batches that are read before they are needed."""


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

    def ahead(self, batches: Iterator[NDArray[np.int64]]) -> Iterator[Batch]:
        """Yield batches of rows [B] of the pool; images that are not kept are read while the batches before are used.

        The reading changes no result: which rows are read is known before.
        """
        if self._resident is not None:
            yield from (Batch(rows) for rows in batches)
            return
        waiting: deque[tuple[NDArray[np.int64], Future[NDArray[np.uint8]]]] = deque()
        with ThreadPoolExecutor(1, "reading") as reader:
            try:
                # Invariant: `waiting` holds the batches that follow the one under way, at most _AHEAD of them.
                for rows in batches:
                    waiting.append((rows, reader.submit(self._images.__getitem__, rows)))
                    if len(waiting) > _AHEAD:
                        yield _read(*waiting.popleft())
                while waiting:
                    yield _read(*waiting.popleft())
            finally:
                for _, future in waiting:
                    future.cancel()

    def gather(self, batch: Batch, places: Tensor) -> Tensor:
        """Return uint8 [B, H, W, C] on the device.

        Args:
            batch: of `ahead`.
            places: [B] int64, where its rows stand among the selected rows, on the device.
        """
        if self._resident is None:
            images = self._images[batch.rows] if batch.images is None else batch.images
            return torch.from_numpy(images).to(self._device)
        return self._resident[places]


def _read(rows: NDArray[np.int64], images: Future[NDArray[np.uint8]]) -> Batch:
    return Batch(rows, images.result())


def augment(
    images: Tensor,
    padding: int,
    flip: bool,
    generator: torch.Generator,
    resized_crop: ResizedCropSettings | None = None,
) -> Tensor:
    """Shift each image by a random crop of its zero-padded self, or crop and resize it, and flip half of them.

    Args:
        images: [B, H, W, C] uint8.
        padding: pixels of zero padding; 0: no crops.
        flip: whether to flip left to right with probability one half.
        generator: source of randomness, on the images' device.
        resized_crop: random crops that are resized to the whole image; None: none.
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
    if resized_crop is not None:
        images = resize_boxes(images, draw_boxes(images.shape, resized_crop, generator))
    return images


_TRIES = 10
"""Boxes that are drawn for an image; where none fits, the largest one around its centre is taken, as in torchvision."""


def draw_boxes(shape: tuple[int, ...], settings: ResizedCropSettings, generator: torch.Generator) -> Tensor:
    """Draw a box for each image, as torchvision's RandomResizedCrop does, ten tries at once.

    Args:
        shape: [B, H, W, C] of the images.
        settings: of areas and aspect ratios.
        generator: source of randomness, on the images' device.

    Returns:
        [B, 4] int64: top, left, height and width.
    """
    count, height, width, _ = shape
    device = generator.device
    numbers = torch.rand((4, count, _TRIES), generator=generator, device=device)  # area, ratio, top, left
    low, high = settings.scale
    area = (low + (high - low) * numbers[0]) * height * width  # [B, T]
    low, high = math.log(settings.ratio[0]), math.log(settings.ratio[1])
    ratio = torch.exp(low + (high - low) * numbers[1])
    heights, widths = (area / ratio).sqrt().round().long(), (area * ratio).sqrt().round().long()
    fits = (heights > 0) & (heights <= height) & (widths > 0) & (widths <= width)
    tops, lefts = (numbers[2] * (height - heights + 1)).long(), (numbers[3] * (width - widths + 1)).long()
    boxes = torch.stack([tops, lefts, heights, widths], dim=2)  # [B, T, 4]
    first = fits.int().argmax(1)  # of the tries; 0 where none fits
    chosen = boxes[torch.arange(count, device=device), first]
    return torch.where(fits.any(1)[:, None], chosen, _centred(height, width, settings).to(device))


def _centred(height: int, width: int, settings: ResizedCropSettings) -> Tensor:
    low, high = settings.ratio
    wide, tall = min(width, round(height * high)), min(height, round(width / low))
    return torch.tensor([(height - tall) // 2, (width - wide) // 2, tall, wide])


def resize_boxes(images: Tensor, boxes: Tensor) -> Tensor:
    """Resize a box of each image to the size of the whole, bilinearly.

    Boxes are no larger than images, so that nothing is made smaller, and no filter against aliasing is needed.

    Args:
        images: [B, H, W, C] uint8.
        boxes: [B, 4] int64: top, left, height and width.
    """
    _, height, width, _ = images.shape
    vertical = _neighbours(boxes[:, 0], boxes[:, 2], height)
    horizontal = _neighbours(boxes[:, 1], boxes[:, 3], width)
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    whole = images.new_zeros(images.shape, dtype=torch.float32)
    for row, row_share in vertical:
        for column, column_share in horizontal:
            pixels = images[batch, row[:, :, None], column[:, None, :]]  # [B, H, W, C]
            whole += pixels * (row_share[:, :, None] * column_share[:, None, :])[..., None]
    return whole.round_().clamp_(0, 255).to(torch.uint8)


def _neighbours(start: Tensor, length: Tensor, size: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the two pixels [B, size] that each new one lies between, and how much each of them counts.

    Centres of pixels are matched, as in torch's `interpolate`; beyond the outermost ones their value holds.
    """
    places = (torch.arange(size, device=start.device) + 0.5) * (length[:, None] / size) - 0.5  # [B, size]
    places = places.clamp_min(0)
    lower = places.floor().long().clamp_max(length[:, None] - 1)
    upper = (lower + 1).clamp_max(length[:, None] - 1)
    share = places - lower
    return (start[:, None] + lower, 1 - share), (start[:, None] + upper, share)
