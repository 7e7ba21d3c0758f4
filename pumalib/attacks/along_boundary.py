"""A few gradient steps along a boundary toward the image (ours); see `refined_margin`."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from pumalib.attacks.counted import CountedModel
from pumalib.attacks.gradient_ascent import Clip, clip_to
from pumalib.attacks.hyperplanes import dual_norm, movable
from pumalib.attacks.objectives import cw_margin
from pumalib.attacks.projection import norms, per_row, project, steepest
from pumalib.attacks.threat_settings import Norm

_FIRST_SHARE, _LAST_SHARE = 1.0, 0.1
"""Of the ball's radius: how far the first step goes, and the last."""

_TOWARD_A_LABEL = 0.5
"""Share of that of steps toward a label, whose lead over the others has a kink wherever two of them are level."""


@dataclass(frozen=True)
class Nearest:
    """The nearest points seen to be across.

    Attributes:
        points: [R, ...].
        lengths: [R], their distances; inf: none yet.
        classes: [R] int64, predicted there; -1: none yet.
    """

    points: Tensor
    lengths: Tensor
    classes: Tensor

    @classmethod
    def none_yet(cls, points: Tensor) -> Nearest:
        """Return what is known before the first look: points [R, ...] of which nothing is known."""
        lengths = points.new_full((len(points),), torch.inf)
        return cls(points, lengths, torch.full_like(lengths, -1, dtype=torch.int64))

    def among(self, places: Tensor) -> Nearest:
        """Return those at these places."""
        return Nearest(self.points[places], self.lengths[places], self.classes[places])

    def put(self, places: Tensor, others: Nearest) -> None:
        """Write others to these places, in place."""
        self.points[places], self.lengths[places] = others.points, others.lengths
        self.classes[places] = others.classes


@dataclass(frozen=True)
class Rows:
    """Images of a batch, and how they are classified.

    Attributes:
        images: [R, ...].
        labels: [R] int64.
        rows: [R] int64, their places in the batch.
        was_correct: [R] bool.
    """

    images: Tensor
    labels: Tensor
    rows: Tensor
    was_correct: Tensor

    def among(self, places: Tensor) -> Rows:
        """Return those at these places."""
        return Rows(self.images[places], self.labels[places], self.rows[places], self.was_correct[places])


def follow_boundary(
    model: CountedModel, among: Rows, start: Tensor, nearest: Nearest, num_steps: int, norm: Norm, clip: Clip
) -> Nearest:
    """Return the nearest points across, of those known and of all points stepped to.

    Args:
        model: counts the passes.
        among: the images.
        start: [R, ...], where the first turn looks; it need not be across.
        nearest: what is known already.
        num_steps: gradient steps.
        norm: `linf` or `l2`.
        clip: range of valid inputs, or None.
    """
    images, current, points, shortest, classes = among.images, start, nearest.points, nearest.lengths, nearest.classes
    # The sign is +1 to leave the label and -1 to reach it.
    sign = among.was_correct * 2 - 1  # [R]
    pace = torch.where(among.was_correct, 1.0, _TOWARD_A_LABEL).to(images)  # [R]
    # Invariant: `points` are the nearest seen to be across, at distance `shortest` (inf: none yet). A turn looks at
    # `current`, keeps it where it is nearer, and moves along the boundary on a ball resized to touch it. Every row
    # takes every turn; the last one only looks.
    for index in range(num_steps + 1):
        look = model.look(current, among.rows)  # rows [R]
        lengths = norms(current - images, norm)  # [R]
        is_nearer = model.is_across(look.logits, among.labels, among.was_correct) & (lengths < shortest)  # [R]
        points = torch.where(per_row(is_nearer, current), current, points)
        shortest = torch.where(is_nearer, lengths, shortest)
        classes = torch.where(is_nearer, look.logits.detach().argmax(1), classes)
        if index == num_steps:
            break
        gap = cw_margin(look.logits, among.labels) * sign  # [R], positive across
        normal = look.gradient(gap)  # [R, D], toward more of being across
        # A point that is not across has a negative surplus, so that its ball grows.
        surplus = gap.detach() / dual_norm(movable(normal, current.flatten(1), clip), norm)  # [R]
        radii = torch.minimum(lengths - surplus, shortest).clamp_min(0.0)  # [R]
        stride = _share(index, num_steps) * pace * radii  # [R]
        moved = current + per_row(stride, current) * steepest(normal, norm).reshape(current.shape)  # [R, ...]
        # Clipping moves pixels toward the image, which lies in the range, so the point stays in the ball.
        current = clip_to(images + project(moved - images, radii, norm), clip)  # [R, ...]
    return Nearest(points, shortest, classes)


def _share(index: int, num_steps: int) -> float:
    """Return the share of the radius that a step goes, falling along half a cosine."""
    return _LAST_SHARE + (_FIRST_SHARE - _LAST_SHARE) * (1 + math.cos(math.pi * index / num_steps)) / 2
