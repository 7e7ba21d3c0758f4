"""The way to a label over all other classes at once, where each of them is linear.

The shortest step s with ``w_k . s >= d_k`` for every other class k is a linear program in L-inf and a quadratic one in
L2. Pixels that sit on the edge of the valid range do not leave it; the others may go beyond, and are clipped by whoever
takes the step and linearises again from there (a choice of ours). All rows are solved together, by the same few turns
of a primal-dual interior point method (Nocedal & Wright 2006, Sec. 14.2 and 16.6): what it costs on a device are its
operations, which are as many for any rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pumalib.attacks.gradient_ascent import Clip
from pumalib.attacks.hyperplanes import TINY, dual_norm, step_along
from pumalib.attacks.threat_settings import Norm

_CENTERINGS = (0.5, 0.5, 0.4, 0.4, 0.3, 0.2, 0.1, 0.02)
"""What each turn aims to leave of the mean product of slacks and multipliers."""
_LONGEST = 0.995
"""Share of the way to the nearest bound that a turn goes at most."""
_FIRST_LENGTH = 3.0
"""Length that is allowed at first, over the distance of the farthest class alone."""
_FAR = 100.0
"""Room of a pixel that does not sit on the edge of the range, over that length."""
_CLASS_WEIGHT = 0.05
"""Multiplier of a class at first, over those of all pixels together."""
_LARGEST_SCALE = 1.1
"""Of the step where the turns ended, which mostly needs to shrink; a class beyond reach would ask for any.

The constants are choices of ours, by trial on random programs."""


@dataclass(frozen=True)
class _Program:
    """The programs of a batch: ``min t`` (L-inf) or ``min s.s / 2`` (L2), with ``W s >= d`` and bounds on s.

    Attributes:
        gaps: [B, C] d.
        normals: [B, C, D] W.
        signs: [F] of s in each kind of bound, F kinds: ``sign s + moves t + room >= 0``.
        moves: [F] 1 where a bound moves with the length t, 0 where it is an edge of the range.
        of_stiffness, of_pull: [3, F] and [2, F], how kinds of bounds add up in the equations.
        has_length: whether t is an unknown: in L-inf.
    """

    gaps: Tensor
    normals: Tensor
    signs: Tensor
    moves: Tensor
    of_stiffness: Tensor
    of_pull: Tensor
    has_length: bool


@dataclass(frozen=True)
class _Point:
    """Where a turn begins.

    Attributes:
        step: [B, 1, D] s.
        surplus: [B, C] ``W s - d``; below 0 where a class is not reached yet.
        slacks: [B, F D + C] above 0, of the bounds and of the classes.
        weights: [B, F D + C] above 0, their multipliers.
    """

    step: Tensor
    surplus: Tensor
    slacks: Tensor
    weights: Tensor


def step_to_all(gaps: Tensor, normals: Tensor, images: Tensor, norm: Norm, clip: Clip) -> Tensor:
    """Step to where ``w_k . step >= d_k`` for every class.

    The step is the interior point's, scaled so that all classes are just reached. Where no step reaches all of them, it
    is where the turns ended, or goes to the farthest class alone.

    Args:
        gaps: [B, C], what is missing to each of the classes; one of a row is above 0.
        normals: [B, C, D], the gradients that make up for it.
        images: [B, D], where the steps start.
        norm: `linf` or `l2`.
        clip: range of valid inputs, or None.

    Returns:
        [B, D].
    """
    length = _FIRST_LENGTH * (gaps / dual_norm(normals, norm)).amax(1).clamp_min(TINY)  # [B]
    program = _program(gaps, normals, norm, clip)
    point = _first_point(program, images, length, clip)
    for centering in _CENTERINGS:
        point = _turn(program, point, centering)
    # A class that is missing something gives a lower bound of the scale: its gap over what the step gains on it.
    gains = (point.surplus + gaps).clamp_min(TINY)  # [B, C]
    scale = (gaps / gains).amax(1, keepdim=True).clamp(0.0, _LARGEST_SCALE)  # [B, 1]
    step = scale * point.step.squeeze(1)
    return torch.where(step.isfinite(), step, _step_to_farthest(gaps, normals, norm))


def _step_to_farthest(gaps: Tensor, normals: Tensor, norm: Norm) -> Tensor:
    """Return the shortest steps [B, D] to the class that is farthest, each taken alone."""
    distances, farthest = (gaps / dual_norm(normals, norm)).max(1)  # [B], [B]
    normal = normals.gather(1, farthest[:, None, None].expand(-1, 1, normals.shape[2])).squeeze(1)  # [B, D]
    return step_along(normal, distances, norm)


def _program(gaps: Tensor, normals: Tensor, norm: Norm, clip: Clip) -> _Program:
    in_linf = norm == "linf"
    kinds = torch.arange(2 * in_linf + 2 * (clip is not None), device=gaps.device)  # [F]
    signs = (kinds % 2 * 2 - 1).to(gaps)  # -1, 1, -1, 1: a bound above, one below
    moves = (kinds < 2 * in_linf).to(gaps)
    of_stiffness = torch.stack([torch.ones_like(signs), -signs * moves, -moves])
    return _Program(gaps, normals, signs, moves, of_stiffness, torch.stack([-signs, moves]), in_linf)


def _first_point(program: _Program, images: Tensor, length: Tensor, clip: Clip) -> _Point:
    """Return a step in the middle of its bounds, slacks above 0, and multipliers that balance the length."""
    normals, gaps, (num_rows, num_pixels) = program.normals, program.gaps, images.shape
    rooms = [length[:, None].expand_as(images)] * (2 * program.has_length)  # F of [B, D]
    step = torch.zeros_like(images)
    if clip is not None:
        at_bottom, at_top = images <= clip[0], images >= clip[1]
        step = (at_bottom.to(images) - at_top.to(images)) * (length / 2)[:, None]
        far = (_FAR * length[:, None]).expand_as(images)
        rooms += [far.masked_fill(at_top, 0.0), far.masked_fill(at_bottom, 0.0)]
    stacked = torch.stack(rooms, 1) if rooms else images.new_empty((num_rows, 0, num_pixels))
    bounds = torch.addcmul(stacked, program.signs[:, None], step[:, None]).flatten(1)  # [B, F D]
    slacks = torch.cat([bounds, gaps.abs().amax(1, keepdim=True).expand_as(gaps)], 1)
    product = length if program.has_length else length * length  # [B]
    weights = (product / (2 * num_pixels))[:, None] / slacks
    weights[:, bounds.shape[1] :] *= _CLASS_WEIGHT * num_pixels
    return _Point(step[:, None], (normals @ step[..., None]).squeeze(2) - gaps, slacks, weights)


def _turn(program: _Program, point: _Point, centering: float) -> _Point:
    """Solve the optimality conditions, linearised and relaxed, and go on as far as slacks and weights stay above 0."""
    normals, (num_rows, num_classes, num_pixels) = program.normals, program.normals.shape
    num_bounds = point.slacks.shape[1] - num_classes
    products = point.slacks * point.weights  # [B, F D + C]
    target = centering * products.mean(1, keepdim=True)  # [B, 1]
    inverse = point.slacks.reciprocal()
    stiffness, pull = point.weights * inverse, target * inverse  # [B, F D + C]
    of_bounds = (num_rows, len(program.signs), num_pixels)
    stiff = program.of_stiffness @ stiffness[:, :num_bounds].view(of_bounds)  # [B, 3, D]
    pulled = program.of_pull @ pull[:, :num_bounds].view(of_bounds)  # [B, 2, D]
    weights = point.weights[:, num_bounds:]  # [B, C]
    diagonal, rows = stiff[:, :1], normals  # [B, 1, D], [B, C, D]
    residual = pulled[:, :1] - weights[:, None] @ normals  # [B, 1, D]
    corner, right = stiffness[:, num_bounds:].reciprocal(), target / weights - point.surplus  # [B, C]
    if program.has_length:  # one unknown more
        rows = torch.cat([rows, stiff[:, 1:2]], 1)
        corner = torch.cat([corner, stiff[:, 2].sum(1, keepdim=True)], 1)
        right = torch.cat([right, 1 - pulled[:, 1].sum(1, keepdim=True)], 1)
    else:
        diagonal, residual = diagonal + 1, residual + point.step
    # Steps and slacks are eliminated: what is left is a system of one unknown a class, and the length.
    scaled = rows / diagonal
    matrix = scaled @ rows.mT
    matrix.diagonal(dim1=1, dim2=2).add_(corner)
    solved = torch.linalg.solve_ex(matrix, scaled @ residual.mT + right[..., None])[0]  # [B, C or C + 1, 1]
    step = solved.mT @ scaled - residual / diagonal  # [B, 1, D]
    surplus = (normals @ step.mT).squeeze(2)  # [B, C]
    moved = program.signs[:, None] * step  # [B, F, D]
    if program.has_length:
        moved = torch.addcmul(moved, program.moves[:, None], solved[:, num_classes:])
    slacks = torch.cat([moved.flatten(1), point.surplus - point.slacks[:, num_bounds:] + surplus], 1)
    relative = slacks * inverse
    factors = target / products - relative  # of the weights, after a whole turn
    share = _longest(-relative.amin(1, keepdim=True))  # [B, 1]
    dual_share = _longest(1 - factors.amin(1, keepdim=True))  # [B, 1]
    return _Point(
        torch.addcmul(point.step, share[..., None], step),
        torch.addcmul(point.surplus, share, surplus),
        torch.addcmul(point.slacks, share, slacks),
        point.weights.lerp(point.weights * factors, dual_share),
    )


def _longest(decrease: Tensor) -> Tensor:
    """Return the share of a turn [B, 1] that leaves every entry above 0, from the largest relative decrease."""
    return _LONGEST / decrease.clamp_min(_LONGEST)
