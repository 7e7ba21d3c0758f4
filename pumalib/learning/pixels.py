"""Steps of the pixels, and the images they may reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PixelUpdate = Literal["sign", "adam"]

_DECAYS, _TINY = (0.9, 0.999), 1e-12
_ROUNDING = 1e-3
"""Share of a grey level by which a bound in grey levels may be short of a whole number through rounding."""


@dataclass(frozen=True)
class Moments:
    """What Adam remembers of every pixel (Kingma & Ba 2015), each row by its own steps.

    Attributes:
        first: [N, C, H, W], running mean of the gradient.
        second: [N, C, H, W], running mean of its square.
        counts: [N] int64, steps the row has taken.
    """

    first: Tensor
    second: Tensor
    counts: Tensor


def no_moments(images: Tensor) -> Moments:
    """Return the moments before any step."""
    return Moments(
        torch.zeros_like(images),
        torch.zeros_like(images),
        torch.zeros(len(images), dtype=torch.int64, device=images.device),
    )


def descend(
    images: Tensor,
    start: Tensor,
    rows: Tensor,
    gradient: Tensor,
    moments: Moments,
    step_size: float,
    bound: float | None,
) -> None:
    """Move some rows against their gradient by Adam, in place, and bring them back to where they may be.

    Args:
        images: [N, C, H, W] float in [0, 1].
        start: [N, C, H, W] float in [0, 1], where they started.
        rows: [R] int64, each once.
        gradient: [R, C, H, W].
        moments: of all rows; changed in place.
        step_size: on the pixel scale.
        bound: largest distance of a pixel from its start; None: none.
    """
    moments.counts[rows] += 1
    counts = moments.counts[rows].reshape(-1, *[1] * (images.ndim - 1)).to(images.dtype)
    first = moments.first[rows].lerp(gradient, 1 - _DECAYS[0])
    second = moments.second[rows].lerp(gradient.square(), 1 - _DECAYS[1])
    moments.first[rows], moments.second[rows] = first, second
    direction = first / (1 - _DECAYS[0] ** counts) / ((second / (1 - _DECAYS[1] ** counts)).sqrt() + _TINY)
    images[rows] = allowed(images[rows] - step_size * direction, start[rows], bound)


def descend_by_sign(
    images: Tensor, start: Tensor, rows: Tensor, gradient: Tensor, step_size: float, bound: float | None
) -> None:
    """Move some rows against the sign of their gradient, in place; see `descend`."""
    images[rows] = allowed(images[rows] - step_size * gradient.sign(), start[rows], bound)


def allowed(images: Tensor, start: Tensor, bound: float | None) -> Tensor:
    """Project onto [0, 1] and, where there is one, onto the bound around the start."""
    if bound is not None:
        images = torch.maximum(torch.minimum(images, start + bound), start - bound)
    return images.clamp(0, 1)


def to_bytes(images: Tensor, start: NDArray[np.uint8], bound: float | None) -> NDArray[np.uint8]:
    """Round to the 256 grey levels of a pool, inside the bound.

    Args:
        images: [N, C, H, W] float in [0, 1].
        start: [N, H, W, C] uint8, where they started.
        bound: as in `descend`.

    Returns:
        [N, H, W, C] uint8.
    """
    rounded = (images * 255).round().permute(0, 2, 3, 1).cpu().numpy().astype(np.int64)
    if bound is not None:
        reach = int(np.floor(bound * 255 + _ROUNDING))
        rounded = np.clip(rounded, start.astype(np.int64) - reach, start.astype(np.int64) + reach)
    levels: NDArray[np.uint8] = np.clip(rounded, 0, 255).astype(np.uint8)
    return levels
