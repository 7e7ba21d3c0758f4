"""Steps onto hyperplanes, in either norm, free or inside the valid range."""

from __future__ import annotations

import torch
from torch import Tensor

from pumalib.attacks.gradient_ascent import Clip
from pumalib.attacks.projection import per_row
from pumalib.attacks.threat_settings import Norm

TINY = 1e-12
_NEWTON_STEPS = 12


def dual_norm(normals: Tensor, norm: Norm) -> Tensor:
    """Return the dual norm [...] of normals [..., D]: what a gap is divided by to give a distance."""
    lengths = normals.abs().sum(-1) if norm == "linf" else normals.norm(dim=-1)
    return lengths.clamp_min(TINY)


def movable(normals: Tensor, images: Tensor, clip: Clip) -> Tensor:
    """Set to 0 the entries that push a pixel out of the valid range it already sits on the edge of."""
    if clip is None:
        return normals
    low, high = clip
    is_stuck = ((images <= low) & (normals < 0)) | ((images >= high) & (normals > 0))
    return normals.masked_fill(is_stuck, 0.0)


def step_along(normals: Tensor, distances: Tensor, norm: Norm) -> Tensor:
    """Return the steps [B, D] of these lengths [B] along normals [B, D]."""
    direction = normals.sign() if norm == "linf" else normals / dual_norm(normals, "l2")[:, None]
    return per_row(distances, normals) * direction


def step_within(normals: Tensor, gaps: Tensor, images: Tensor, norm: Norm, clip: Clip) -> Tensor:
    """Return the shortest step [B, D] with ``normals . step = gaps`` that stays in the valid range.

    The step is ``scale * sign(w)`` (L-inf) or ``scale * w`` (L2), cut off at the range. What it gains is a concave,
    piecewise linear function of the scale, so Newton's method climbs to the answer in a few steps and never beyond.

    Args:
        normals: [B, D].
        gaps: [B], at least 0.
        images: [B, D], where the steps start.
        norm: `linf` or `l2`.
        clip: range of valid inputs, or None.
    """
    direction = normals.sign() if norm == "linf" else normals  # [B, D]
    gains = normals.abs() * direction.abs()  # [B, D], per unit of scale; never negative
    reach = _room(direction, images, clip)  # [B, D], the scale at which a pixel meets the range
    scale = torch.zeros_like(gaps)  # [B]
    # Invariant: what `scale` gains is at most the gap. A turn goes along the tangent, which lies above a concave
    # function, so the scale never goes beyond the answer. A row stops moving when it has arrived or when no pixel is
    # free.
    for _ in range(_NEWTON_STEPS):
        is_free = reach > scale[:, None]  # [B, D]
        slope = (gains * is_free).sum(1)  # [B]
        missing = gaps - (gains * torch.minimum(reach, scale[:, None])).sum(1)  # [B]
        # Rounding may make `missing` slightly negative; without the clamp the scale would then fall.
        scale = scale + torch.where(slope > 0, missing.clamp_min(0.0) / slope.clamp_min(TINY), 0.0)
    return direction * torch.minimum(reach, scale[:, None])


def _room(direction: Tensor, images: Tensor, clip: Clip) -> Tensor:
    """Return how often each pixel can go its direction before it leaves the valid range."""
    if clip is None:
        return torch.full_like(images, torch.inf)
    low, high = clip
    space = torch.where(direction > 0, high - images, images - low)  # [B, D]
    return torch.where(direction == 0, torch.inf, space / direction.abs().clamp_min(TINY))
