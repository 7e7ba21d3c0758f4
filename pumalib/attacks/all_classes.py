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
    mixture = _first_mixture(gaps, normals, norm)  # [B, C], on the simplex
    shortest, bound = torch.full_like(gaps[:, 0], torch.inf), torch.zeros_like(gaps[:, 0])  # [B], [B]
    step, average, average_gains = torch.zeros_like(images), torch.zeros_like(images), torch.zeros_like(gaps)
    # The dual of min ||s|| with w_k.s >= d_k is max over l of l.d / ||sum l_k w_k||_*. Invariant: `step` is the
    # shortest step seen that satisfies every constraint, `shortest` its length (inf: none yet), and `bound` the largest
    # dual value. A turn evaluates the mixture, tries its direction and the average one, and climbs. All rows take all
    # turns.
    for index in range(_DUAL_STEPS):
        mixed = movable((mixture[..., None] * normals).sum(1), images, clip)  # [B, D]
        length = dual_norm(mixed, norm)  # [B]
        distance = (mixture * gaps).sum(1) / length  # [B]; below 0 while satisfied constraints dominate
        bound = torch.maximum(bound, distance)
        unit = mixed.sign() if norm == "linf" else mixed / length[:, None]  # [B, D]
        gains = (normals * unit[:, None]).sum(2)  # [B, C]
        # Weights 1, 2/3, 2/4, ...: the first turn replaces the zeros, and later directions count more.
        average = average.lerp(unit, 2 / (2 + index))
        average_gains = average_gains.lerp(gains, 2 / (2 + index))
        for direction, direction_gains in ((unit, gains), (average, average_gains)):
            scale = _scale_to_satisfy(gaps, direction_gains)  # [B]
            way = scale * norms(direction, norm)  # [B]
            step = torch.where((way < shortest)[:, None], scale[:, None] * direction, step)
            shortest = torch.minimum(way, shortest)
        # The gradient of l.d / ||sum l_k w_k||_* by l is (d_k - distance w_k.unit) / length. Its scale does not matter:
        # it is normalised row by row.
        slope = gaps - distance[:, None] * gains  # [B, C]
        slope /= slope.abs().amax(1, keepdim=True).clamp_min(TINY)
        # Exponentiated gradient; TINY keeps a weight that fell to 0 able to come back.
        mixture = torch.softmax((mixture + TINY).log() + slope * (_DUAL_RATE / (1 + index) ** 0.5), 1)
    return torch.where(shortest.isfinite()[:, None], step, bound[:, None] * average)


def _first_mixture(gaps: Tensor, normals: Tensor, norm: Norm) -> Tensor:
    """Return weights [B, C] that favour the constraints farthest from being satisfied."""
    distances = gaps / dual_norm(normals, norm)  # [B, C]; below 0 where satisfied
    farthest = distances.amax(1, keepdim=True).clamp_min(TINY)  # [B, 1]
    return torch.softmax((distances / farthest).clamp_min(-1.0), 1)


def _scale_to_satisfy(gaps: Tensor, gains: Tensor) -> Tensor:
    """Return the least scale [B] at which ``scale * gains >= gaps`` for every class; inf where there is none."""
    # A positive gain gives a lower bound of the scale. A negative gain with a negative gap gives an upper bound. A gain
    # of at most 0 never closes a positive gap: inf.
    scales = gaps / gains.masked_fill(gains == 0, TINY)  # [B, C]
    least = scales.masked_fill(gains <= 0, 0.0).masked_fill((gains <= 0) & (gaps > 0), torch.inf).amax(1)  # [B]
    most = scales.masked_fill(gains >= 0, torch.inf).amin(1)  # [B]
    return torch.where(least <= most, least.clamp_min(0.0), torch.inf)
