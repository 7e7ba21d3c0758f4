"""The way to a label over all other classes at once, where each of them is linear."""

from __future__ import annotations

import torch
from torch import Tensor

from pumalib.attacks.gradient_ascent import Clip
from pumalib.attacks.hyperplanes import TINY, dual_norm, movable
from pumalib.attacks.projection import norms
from pumalib.attacks.threat_settings import Norm

_DUAL_STEPS = 60
_DUAL_RATE = 2.0


def step_to_all(gaps: Tensor, normals: Tensor, images: Tensor, norm: Norm, clip: Clip) -> Tensor:
    """Step to where ``w_k . step >= d_k`` for every class.

    A mixture l of the constraints gives a direction, and ``l.d / ||sum l_k w_k||_*`` bounds the length from below.
    The mixtures climb that bound, by exponentiated gradients. Of their directions, and of the averages of these,
    which recover the entries that the best mixture leaves undecided, the one is taken that satisfies every constraint
    after the shortest way. Where none does, the largest bound is gone along the average.

    Args:
        gaps: [B, C], what is missing to each of the classes.
        normals: [B, C, D], the gradients that make up for it.
        images: [B, D], where the steps start.
        norm: `linf` or `l2`.
        clip: range of valid inputs, or None.

    Returns:
        [B, D].
    """
    mixture = _first_mixture(gaps, normals, norm)
    shortest, bound = torch.full_like(gaps[:, 0], torch.inf), torch.zeros_like(gaps[:, 0])
    step, average, average_gains = torch.zeros_like(images), torch.zeros_like(images), torch.zeros_like(gaps)
    for index in range(_DUAL_STEPS):
        mixed = movable((mixture[..., None] * normals).sum(1), images, clip)
        length = dual_norm(mixed, norm)
        distance = (mixture * gaps).sum(1) / length
        bound = torch.maximum(bound, distance)
        unit = mixed.sign() if norm == "linf" else mixed / length[:, None]
        gains = (normals * unit[:, None]).sum(2)
        average = average.lerp(unit, 2 / (2 + index))
        average_gains = average_gains.lerp(gains, 2 / (2 + index))
        for direction, direction_gains in ((unit, gains), (average, average_gains)):
            scale = _scale_to_satisfy(gaps, direction_gains)
            way = scale * norms(direction, norm)
            step = torch.where((way < shortest)[:, None], scale[:, None] * direction, step)
            shortest = torch.minimum(way, shortest)
        slope = gaps - distance[:, None] * gains
        slope /= slope.abs().amax(1, keepdim=True).clamp_min(TINY)
        mixture = torch.softmax((mixture + TINY).log() + slope * (_DUAL_RATE / (1 + index) ** 0.5), 1)
    return torch.where(shortest.isfinite()[:, None], step, bound[:, None] * average)


def _first_mixture(gaps: Tensor, normals: Tensor, norm: Norm) -> Tensor:
    """Return weights [B, C] that favour the constraints farthest from being satisfied."""
    distances = gaps / dual_norm(normals, norm)
    farthest = distances.amax(1, keepdim=True).clamp_min(TINY)
    return torch.softmax((distances / farthest).clamp_min(-1.0), 1)


def _scale_to_satisfy(gaps: Tensor, gains: Tensor) -> Tensor:
    """Return the least scale [B] at which ``scale * gains >= gaps`` for every class; inf where there is none."""
    scales = gaps / gains.masked_fill(gains == 0, TINY)
    least = scales.masked_fill(gains <= 0, 0.0).masked_fill((gains <= 0) & (gaps > 0), torch.inf).amax(1)
    most = scales.masked_fill(gains >= 0, torch.inf).amin(1)
    return torch.where(least <= most, least.clamp_min(0.0), torch.inf)
