"""Other class boundaries that may be nearer than the one where DeepFool crossed (ours).

DeepFool commits itself to the class whose boundary is the nearest for the gradients it meets on its way. Against exact
distances its longest excesses are those of a wrong class (docs/margins.md), which no step along that boundary mends. So
each other class that may be nearer is aimed at from the image, as its boundary looks where the plane at
the image is crossed: one forward and one backward pass per class. From the nearest of these points the boundary is
followed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pumalib.attacks.along_boundary import Nearest, Rows, follow_boundary
from pumalib.attacks.counted import CountedModel
from pumalib.attacks.gradient_ascent import Clip, clip_to
from pumalib.attacks.hyperplanes import dual_norm, movable, step_within
from pumalib.attacks.nearest_boundary import Planes, gaps_to
from pumalib.attacks.projection import norms
from pumalib.attacks.threat_settings import Norm

_MOST_CLASSES = 5
"""Other classes aimed at, the nearest ones by their planes at the image."""

_FARTHEST = 2.0
"""Times the distance known: a class whose plane is farther is not aimed at."""

_WORTH_A_START = 1.05
"""Times the distance known: from a point that is farther the boundary is not followed."""

_SHARE_OF_STEPS = 0.75
"""Of the steps along the first boundary: these start where a plane is crossed, not where DeepFool stopped."""

_OVERSHOOT = 1.02


def try_other_boundaries(
    model: CountedModel,
    among: Rows,
    planes: Planes,
    nearest: Nearest,
    restarts: int,
    num_steps: int,
    norm: Norm,
    clip: Clip,
) -> tuple[Nearest, Tensor]:
    """Return the nearest points across, of those known and along other boundaries, and the steps [R] taken.

    Args:
        model: counts the passes.
        among: the images, all rightly classified.
        planes: of their candidates [R, C], in the same order.
        nearest: the points known, one per row.
        restarts: other boundaries followed at most.
        num_steps: along the first boundary; fewer are taken along others.
        norm: `linf` or `l2`.
        clip: range of valid inputs, or None.
    """
    points, estimates = _aim_at_others(model, among, planes, nearest, norm, clip)  # [R, T, ...], [R, T]
    num_steps = math.ceil(_SHARE_OF_STEPS * num_steps)
    steps = torch.zeros_like(among.labels)
    for _ in range(min(restarts, estimates.shape[1])):
        closest, candidate = estimates.min(1)  # [R], [R]
        places = torch.nonzero(closest < _WORTH_A_START * nearest.lengths).squeeze(1)  # [S]
        if len(places) == 0:
            break
        start = points[places, candidate[places]]  # [S, ...]
        known = nearest.among(places)
        nearest.put(places, follow_boundary(model, among.among(places), start, known, num_steps, norm, clip))
        steps[places] += num_steps
        estimates.scatter_(1, candidate[:, None], torch.inf)
    return nearest, steps


def _aim_at_others(
    model: CountedModel, among: Rows, planes: Planes, nearest: Nearest, norm: Norm, clip: Clip
) -> tuple[Tensor, Tensor]:
    """Return where each class is aimed at [R, T, ...], and how far that is [R, T]; inf where it is not aimed at."""
    flat = among.images.flatten(1)  # [R, D]
    lengths = dual_norm(movable(planes.normals, flat[:, None], clip), norm)  # [R, C]
    distances = -planes.gaps / lengths  # [R, C], of the planes
    distances = distances.masked_fill(planes.classes == nearest.classes[:, None], torch.inf)
    order = distances.argsort(1)[:, :_MOST_CLASSES]  # [R, T]
    points, estimates = [], []
    for candidate in order.T:  # [R]
        chosen = candidate[:, None]
        wanted = distances.gather(1, chosen).squeeze(1) < _FARTHEST * nearest.lengths  # [R]
        places = torch.nonzero(wanted).squeeze(1)  # [S]
        point, estimate = among.images.clone(), torch.full_like(nearest.lengths, torch.inf)
        if len(places):
            picked = candidate[places]
            plane = planes.gaps[places, picked], planes.normals[places, picked], planes.classes[places, picked]
            point[places] = _aim(model, among.among(places), *plane, norm, clip)
            estimate[places] = norms(point[places] - among.images[places], norm)
        points.append(point)
        estimates.append(estimate)
    return torch.stack(points, 1), torch.stack(estimates, 1)


def _aim(
    model: CountedModel, among: Rows, gaps: Tensor, normals: Tensor, classes: Tensor, norm: Norm, clip: Clip
) -> Tensor:
    """Return the points [S, ...] where each class is aimed at from the image, first by its plane there, then anew."""
    flat = among.images.flatten(1)  # [S, D]
    first = _cross(flat, gaps, normals, norm, clip)
    look = model.look(first.reshape(among.images.shape), among.rows)
    gap = gaps_to(look.logits, among.labels, classes)  # [S]
    normals = look.gradient(gap)  # [S, D]
    # The new plane is gap + normal.(x - first); at the image it has this value.
    at_image = gap.detach() + (normals * (flat - first)).sum(1)  # [S]
    return _cross(flat, at_image, normals, norm, clip).reshape(among.images.shape)


def _cross(flat: Tensor, gaps: Tensor, normals: Tensor, norm: Norm, clip: Clip) -> Tensor:
    """Return the nearest points [S, D] a little beyond planes that lie at these gaps (below 0: not across)."""
    beyond = gaps.clamp_max(0.0).abs() * _OVERSHOOT  # [S]
    moved: Tensor = clip_to(flat + step_within(normals, beyond, flat, norm, clip), clip)
    return moved
