"""Refined margins: DeepFool's crossing, then a few gradient steps along the boundary toward the image (ours).

Each step looks at the point it has reached. The linearised gap says by how much the ball around the image that holds
the point must grow or may shrink to touch the boundary; the point is moved along its gradient by a share of the ball's
radius and projected onto that ball. So it follows the boundary while the ball shrinks. The share falls as in FMN
(Pintor et al. 2021), which changes the radius by fixed shares instead. The nearest point seen to be across is kept.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from pumalib.attacks.counted import CountedModel
from pumalib.attacks.deepfool import Walk, find_crossing
from pumalib.attacks.gradient_ascent import Clip, clip_to
from pumalib.attacks.hyperplanes import dual_norm, movable
from pumalib.attacks.margins import Crossing, MarginTable, measure_margins
from pumalib.attacks.objectives import cw_margin
from pumalib.attacks.projection import norms, per_row, project, steepest
from pumalib.attacks.threat_settings import Norm

_FIRST_SHARE, _LAST_SHARE = 1.0, 0.1
"""Of the ball's radius: how far the first step goes, and the last."""

_TOWARD_A_LABEL = 0.5
"""Share of that of steps toward a label, whose lead over the others has a kink wherever two of them are level."""


def refined_margins(
    model: nn.Module,
    images: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    norm: Norm = "linf",
    clip: Clip = (0.0, 1.0),
    refinement_steps: int = 8,
    max_iterations: int = 50,
    overshoot: float = 0.02,
    bisection_steps: int = 10,
    num_candidates: int = 10,
    batch_size: int | None = None,
    keep_adversarial: bool = False,
) -> MarginTable:
    """Estimate each image's signed margin more tightly than DeepFool, at less than twice its cost.

    Args:
        model: maps [B, C, H, W] or [B, D] float32 to logits [B, K]; eval mode.
        images: [N, C, H, W] or [N, D] floats in the range of `clip`; also [N, H, W, C], and uint8, divided by 255.
        labels: [N] integers in [0, K).
        norm: `linf` or `l2`.
        clip: range of valid inputs; None: unbounded.
        refinement_steps: gradient steps along the boundary; more are tighter and slower.
        max_iterations: gradient iterations of DeepFool a sample.
        overshoot: share by which each perturbation of DeepFool is stretched to cross.
        bisection_steps: the crossing is enclosed as narrowly as by this many halvings of the segment from the image to
            the point found.
        num_candidates: other classes that DeepFool looks at, the most likely ones, ranked anew each iteration.
        batch_size: images at once, None: 500, fewer of large ones; changes the speed, not the result.
        keep_adversarial: also return the points across the boundary.

    Returns:
        The table; `margin` overestimates the distance, as every constructive estimator does. `iterations` counts
        DeepFool's and the steps along the boundary.

    Raises:
        DataError: labels or images that do not fit, or a model that would be mismeasured; see `inputs.check_inputs`.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
        >>> table = refined_margins(model, [[0.9, 0.3], [0.9, 0.3]], [0, 1])
        >>> [round(float(margin), 2) for margin in table.margin]
        [0.3, -0.3]
    """
    walk = Walk(norm, clip, max_iterations, overshoot, num_candidates)
    return measure_margins(
        partial(_search, walk=walk, num_steps=refinement_steps),
        model,
        images,
        labels,
        norm=norm,
        clip=clip,
        bisection_steps=bisection_steps,
        batch_size=batch_size,
        keep_adversarial=keep_adversarial,
    )


def _search(
    model: CountedModel, images: Tensor, labels: Tensor, prediction: Tensor, *, walk: Walk, num_steps: int
) -> Crossing:
    """Cross as DeepFool does, then move what has crossed toward the image."""
    crossing = find_crossing(model, images, labels, prediction, walk=walk)
    rows = torch.nonzero(crossing.crossed).squeeze(1)  # [R]
    if len(rows) and num_steps:
        was_correct = (prediction == labels)[rows]  # [R]
        nearest = _follow_boundary(model, images[rows], labels[rows], rows, was_correct, crossing, walk, num_steps)
        crossing.points[rows] = nearest
        crossing.iterations[rows] += num_steps
    return crossing


def _follow_boundary(
    model: CountedModel,
    images: Tensor,
    labels: Tensor,
    rows: Tensor,
    was_correct: Tensor,
    crossing: Crossing,
    walk: Walk,
    num_steps: int,
) -> Tensor:
    """Return the nearest point across [R, ...], of the crossing and of all points stepped to."""
    current = nearest = crossing.points[rows]  # [R, ...]
    # The sign is +1 to leave the label and -1 to reach it.
    sign, pace = was_correct * 2 - 1, torch.where(was_correct, 1.0, _TOWARD_A_LABEL).to(images)  # [R], [R]
    shortest = torch.full_like(pace, torch.inf)  # [R]
    # Invariant: `nearest` is the nearest point seen to be across, at distance `shortest` (inf: none yet). A turn looks
    # at `current`, keeps it where it is nearer, and moves along the boundary on a ball resized to touch it. Every row
    # takes every turn; the last one only looks.
    for index in range(num_steps + 1):
        look = model.look(current, rows)  # rows [R]
        lengths = norms(current - images, walk.norm)  # [R]
        is_nearer = model.is_across(look.logits, labels, was_correct) & (lengths < shortest)  # [R]
        nearest = torch.where(per_row(is_nearer, current), current, nearest)
        shortest = torch.where(is_nearer, lengths, shortest)
        if index == num_steps:
            break
        gap = cw_margin(look.logits, labels) * sign  # [R], positive across
        normal = look.gradient(gap)  # [R, D], toward more of being across
        # A point that is not across has a negative surplus, so that its ball grows.
        surplus = gap.detach() / dual_norm(movable(normal, current.flatten(1), walk.clip), walk.norm)  # [R]
        radii = torch.minimum(lengths - surplus, shortest).clamp_min(0.0)  # [R]
        stride = _share(index, num_steps) * pace * radii  # [R]
        moved = current + per_row(stride, current) * steepest(normal, walk.norm).reshape(current.shape)  # [R, ...]
        # Clipping moves pixels toward the image, which lies in the range, so the point stays in the ball.
        current = clip_to(images + project(moved - images, radii, walk.norm), walk.clip)  # [R, ...]
    return nearest


def _share(index: int, num_steps: int) -> float:
    """Return the share of the radius that a step goes, falling along half a cosine."""
    return _LAST_SHARE + (_FIRST_SHARE - _LAST_SHARE) * (1 + math.cos(math.pi * index / num_steps)) / 2
