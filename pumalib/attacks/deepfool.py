"""DeepFool margins (Moosavi-Dezfooli et al. 2016), signed, L-inf and L2, each sample stopping on its own.

Rightly classified samples step to the nearest linearised class boundary. Misclassified samples step toward their
label over all other classes at once: the linearised problem "become at least as likely as every other class" is
solved row by row (`all_classes`; a choice of ours: stepping against the best other class alone zigzags and
overshoots). Both aim beyond the boundary by a share `overshoot` of the first gap that grows with each iteration, or
the last steps would shrink forever. On the way to a label, pixels that sit on the edge of the valid range and would
have to leave it are left out of the linearisation. A rightly classified sample chooses the boundary that is nearest
for the pixels that can move, and steps as if all could: shorter steps, linearised more often. Once across, it is aimed
at anew from the image, along the linearisation where it crossed and inside the valid range; the nearer point is kept.
(All ours.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from pumalib.attacks.all_classes import step_to_all
from pumalib.attacks.counted import CountedModel, Look
from pumalib.attacks.gradient_ascent import Clip, clip_to
from pumalib.attacks.hyperplanes import dual_norm, step_along, step_within
from pumalib.attacks.margins import Crossing, MarginTable, measure_margins, search_radius
from pumalib.attacks.nearest_boundary import NearestBoundary, Planes, gaps_to, likeliest
from pumalib.attacks.objectives import cw_margin
from pumalib.attacks.projection import norms, per_row
from pumalib.attacks.threat_settings import Norm

SLACK = 1.5
"""Times `up_to`: how far is searched for margins up to there. A choice of ours: DeepFool often crosses farther, and is
pulled back. docs/margins.md tells how seldom it changes a margin."""


@dataclass(frozen=True)
class Walk:
    """How to look for a crossing; see `deepfool_margins`.

    Attributes:
        keep_planes: return those of all candidates as well.
        farthest: distance from the image at which a search gives up; None: none does.
    """

    norm: Norm
    clip: Clip
    max_iterations: int
    overshoot: float
    num_candidates: int
    keep_planes: bool = False
    farthest: float | None = None


def deepfool_margins(
    model: nn.Module,
    images: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    norm: Norm = "linf",
    clip: Clip = (0.0, 1.0),
    max_iterations: int = 50,
    overshoot: float = 0.02,
    bisection_steps: int = 10,
    num_candidates: int = 10,
    batch_size: int | None = None,
    keep_adversarial: bool = False,
    up_to: float | None = None,
) -> MarginTable:
    """Estimate each image's signed margin with DeepFool.

    A margin is the distance from an image to the decision boundary. It is above 0 where the model is right. Where the
    model is wrong, it is minus the distance to the nearest point that gets the label.

    Args:
        model: maps float32 [B, C, H, W] or [B, D] to logits [B, K], K classes; in eval mode.
        images: [N, C, H, W] or [N, D] floats in the range of `clip`; also [N, H, W, C], and uint8, divided by 255.
        labels: [N] integers in [0, K).
        norm: `linf` or `l2`, in which distances are measured.
        clip: lowest and highest value of a valid input; None: any value is valid.
        max_iterations: gradient steps for each image, at most.
        overshoot: share by which perturbations are stretched, so that they cross.
        bisection_steps: how narrowly the crossing is enclosed: as by this many halvings of the segment from the image
            to the point found.
        num_candidates: other classes that are looked at: the most likely ones, ranked anew in each step.
        batch_size: images at once; None: 500, fewer of large ones. It changes the speed, not the result.
        keep_adversarial: whether the points across the boundary are returned too.
        up_to: distance from which on a margin need not be exact, in units of the images; None: there is none. If no
            crossing nearer than this is found, the margin is `up_to`, signed, and the row is marked as bounded.

    Returns:
        A row for each image. Margins are in units of the images: pixel scale where `clip` is (0, 1). Where a margin has
        converged, its size is at least the true distance, because its point has been seen to be across.

    Raises:
        DataError: images, labels or a model that do not fit. The model must be in eval mode and give finite logits, not
            probabilities, that follow from each image alone.
        ValueError: another norm, or `up_to` that is not above 0.

    Source: Moosavi-Dezfooli et al. 2016, Algorithm 2 and its L-inf form. The sign, the way to a label over all classes
        at once, the last step and the bisection are choices of ours.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
        >>> table = deepfool_margins(model, [[0.9, 0.3], [0.9, 0.3]], [0, 1])  # the second label is wrong
        >>> [round(float(margin), 2) for margin in table.margin]
        [0.3, -0.3]
    """
    walk = Walk(norm, clip, max_iterations, overshoot, num_candidates, farthest=search_radius(up_to, SLACK))
    return measure_margins(
        partial(find_crossing, walk=walk),
        model,
        images,
        labels,
        norm=norm,
        clip=clip,
        bisection_steps=bisection_steps,
        batch_size=batch_size,
        keep_adversarial=keep_adversarial,
        up_to=up_to,
    )


def find_crossing(model: CountedModel, images: Tensor, labels: Tensor, prediction: Tensor, *, walk: Walk) -> Crossing:
    """Leave the label where it was predicted, reach it where not."""
    nowhere = torch.zeros_like(labels, dtype=torch.bool)
    crossing = Crossing(images.clone(), nowhere, torch.zeros_like(labels), nowhere.clone())
    # Both walks write the rows that they are given into `crossing`, in place.
    planes = None
    if (right := prediction == labels).any():
        planes = _leave(model, images, labels, torch.nonzero(right).squeeze(1), crossing, walk)
    if (wrong := prediction != labels).any():
        _reach(model, images, labels, torch.nonzero(wrong).squeeze(1), crossing, walk)
    return replace(crossing, planes=planes)


def _leave(
    model: CountedModel, images: Tensor, labels: Tensor, rows: Tensor, crossing: Crossing, walk: Walk
) -> Planes | None:
    """Step to the nearest boundary until it is crossed, then aim at it from the image; return the planes, if kept."""
    total, active, slack = torch.zeros_like(images), rows, images.new_zeros(len(images))  # [B, ...], [A], [B]
    gaps, normals = torch.zeros_like(slack), torch.zeros_like(images.flatten(1))  # [B], [B, D]
    boundary = NearestBoundary(labels, walk.num_candidates, walk.norm, walk.clip, walk.keep_planes)
    # Invariant: `total` is the sum of the steps before overshoot, and an active row has never been across. A turn looks
    # at the image plus the stretched total, lets rows that are across leave, and steps the others to their nearest
    # boundary. The last turn only looks: rows that are still inside have not converged.
    for index in range(walk.max_iterations + 1):
        look = model.look(clip_to(images[active] + (1 + walk.overshoot) * total[active], walk.clip), active)  # rows [A]
        across = look.logits.argmax(1) != labels[active]  # [A]
        # All active rows are written, so a row that leaves keeps its last point.
        crossing.points[active], crossing.crossed[active] = look.inputs.detach(), across
        crossing.iterations[active] = index
        if index == 0:
            slack[rows] = walk.overshoot * cw_margin(look.logits.detach(), labels[rows]).abs()  # [A]
        stays = ~across if index < walk.max_iterations else torch.zeros_like(across)
        # Rows that leave are asked for too: `_aim_again` needs the plane where they crossed. The aim lies 0, 1, 2, ...
        # times the slack beyond the boundary.
        gaps[active], normals[active] = boundary.find(look, stays, index * slack[active])
        active = active[stays]  # [S]
        if len(active) == 0:
            break
        # Algorithm 2 of Moosavi-Dezfooli et al. 2016: r = |d_k| / ||w_k||_2 in direction w_k / ||w_k||_2, in L-inf
        # |d_k| / ||w_k||_1 in direction sign(w_k).
        distance = (index * slack - gaps)[active] / dual_norm(normals[active], walk.norm)  # [S], at least 0
        total[active] += step_along(normals[active], distance, walk.norm).reshape(len(active), *total.shape[1:])
        active = _walk_on(model, images, labels, total, active, True, crossing, walk)
        if len(active) == 0:
            break
    crossed = rows[crossing.crossed[rows]]  # [R]
    if len(crossed):
        _aim_again(model, images, labels, crossed, gaps[crossed], normals[crossed], crossing, walk)
    return boundary.planes


def _aim_again(
    model: CountedModel,
    images: Tensor,
    labels: Tensor,
    rows: Tensor,
    gaps: Tensor,
    normals: Tensor,
    crossing: Crossing,
    walk: Walk,
) -> None:
    """Aim from the image at the boundary as it looks where it was crossed; keep what is across and nearer."""
    found, start = crossing.points[rows], images[rows].flatten(1)  # [R, ...], [R, D]
    # The plane is d(x) = gap + w.(x - found). At the image it must be negative; where curvature makes it positive, the
    # step is 0, the image itself is tried, and `is_better` rejects it.
    from_image = (gaps + (normals * (start - found.flatten(1))).sum(1)).clamp_max(0.0)  # [R]
    step = step_within(normals, from_image.abs(), start, walk.norm, walk.clip)  # [R, D]
    aimed = clip_to(start + (1 + walk.overshoot) * step, walk.clip).reshape(found.shape)  # [R, ...]
    # Rows come here from `_leave` alone, so all were right: ones.
    across = model.is_across(model.logits(aimed, rows), labels[rows], torch.ones_like(rows, dtype=torch.bool))  # [R]
    is_better = across & (norms(aimed - images[rows], walk.norm) < norms(found - images[rows], walk.norm))  # [R]
    crossing.points[rows] = torch.where(per_row(is_better, found), aimed, found)


def _reach(model: CountedModel, images: Tensor, labels: Tensor, rows: Tensor, crossing: Crossing, walk: Walk) -> None:
    """Step to where the label is at least as likely as all other classes, until it is predicted."""
    total, slack, active = torch.zeros_like(images), images.new_zeros(len(images)), rows  # [B, ...], [B], [A]
    # Invariant: as in `_leave`, but across means that the label is predicted. A turn looks, lets rows leave that have
    # reached their label, and steps the others to satisfy all their constraints at once. The last turn only looks.
    for index in range(walk.max_iterations + 1):
        look = model.look(clip_to(images[active] + (1 + walk.overshoot) * total[active], walk.clip), active)  # rows [A]
        across = look.logits.argmax(1) == labels[active]  # [A]
        crossing.points[active], crossing.crossed[active] = look.inputs.detach(), across
        crossing.iterations[active] = index
        if index == walk.max_iterations or across.all():
            break
        active = active[~across]  # [S]
        gaps, normals, points = _linearise(look, labels, ~across, walk)  # [S, C], [S, C, D], [S, D]
        if index == 0:
            slack[active] = walk.overshoot * gaps.amax(1).abs()  # [S]
        aimed = gaps + (1 + index) * slack[active, None]  # [S, C]
        # `normals` point to where the other class gains on the label; the way to the label is against them.
        total[active] += step_to_all(aimed, -normals, points, walk.norm, walk.clip).reshape(
            len(active), *total.shape[1:]
        )
        active = _walk_on(model, images, labels, total, active, False, crossing, walk)
        if len(active) == 0:
            break


def _walk_on(
    model: CountedModel,
    images: Tensor,
    labels: Tensor,
    total: Tensor,
    rows: Tensor,
    was_correct: bool,
    crossing: Crossing,
    walk: Walk,
) -> Tensor:
    """Return the rows [S] of these [A] that walk on; mark the others in `crossing` as gone too far.

    A row gives up if its next point is farther than `walk.farthest`, and the point at that distance on the straight way
    there is not across. Without that look, long first steps of linearised boundaries would pass for long margins.
    """
    if walk.farthest is None or crossing.beyond is None:
        return rows
    way = clip_to(images[rows] + (1 + walk.overshoot) * total[rows], walk.clip) - images[rows]  # [A, ...]
    lengths = norms(way, walk.norm)  # [A]
    places = torch.nonzero(lengths > walk.farthest).squeeze(1)  # [F]
    if len(places) == 0:
        return rows
    far = rows[places]
    points = images[far] + per_row(walk.farthest / lengths[places], way) * way[places]  # [F, ...]
    were_correct = torch.full_like(far, was_correct, dtype=torch.bool)
    crossing.beyond[far] = ~model.is_across(model.logits(points, far), labels[far], were_correct)
    return rows[~crossing.beyond[rows]]


def _linearise(look: Look, labels: Tensor, stays: Tensor, walk: Walk) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``d_k = f_k - f_y`` [S, C], ``w_k = grad d_k`` [S, C, D] and the points [S, D] of the rows that stay."""
    others = likeliest(look.logits, labels[look.rows], walk.num_candidates)  # [R, C]
    num_staying, count = int(stays.sum()), others.shape[1]
    if num_staying < count * (len(stays) - num_staying):  # then a forward pass costs less than needless backward ones
        look, others, stays = look.among(stays), others[stays], stays[stays]  # [S, C], [S] all true
    values = [gaps_to(look.logits, labels[look.rows], others[:, k]) for k in range(count)]  # C of [R], or of [S]
    # One backward pass per class through one forward pass; the last of them frees the graph.
    normals = [look.gradient(gap, keep_graph=k + 1 < count)[stays] for k, gap in enumerate(values)]  # C of [S, D]
    gaps = torch.stack([gap.detach()[stays] for gap in values], 1)  # [S, C]
    return gaps, torch.stack(normals, 1), look.inputs.detach().flatten(1)[stays]
