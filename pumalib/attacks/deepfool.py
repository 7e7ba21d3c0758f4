"""DeepFool margins (Moosavi-Dezfooli et al. 2016), signed, L-inf and L2, each sample stopping on its own.

Rightly classified samples step to the nearest linearised class boundary. Misclassified samples step toward their
label over all other classes at once: the linearised problem "become at least as likely as every other class" is
solved through its dual, a maximum over mixtures of the constraints, by exponentiated gradients (a choice of ours:
stepping against the best other class alone zigzags and overshoots). Both aim beyond the boundary by a share
`overshoot` of the first gap that grows with each iteration, or the last steps would shrink forever. On the way to a
label, pixels that sit on the edge of the valid range and would have to leave it are left out of the linearisation.
A rightly classified sample chooses the boundary that is nearest for the pixels that can move, and steps as if all
could: shorter steps, linearised more often. Once across, it is aimed at anew from the image, along the linearisation
where it crossed and inside the valid range; the nearer point is kept. (All ours.)
"""

from __future__ import annotations

from functools import partial

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from pumalib.attacks.gradient_ascent import Clip, clip_to
from pumalib.attacks.margins import Crossing, MarginTable, is_across, measure_margins
from pumalib.attacks.objectives import cw_margin
from pumalib.attacks.projection import norms, per_row
from pumalib.attacks.settings import Norm

_TINY = 1e-12
_DUAL_STEPS = 60
_DUAL_RATE = 2.0
_NEWTON_STEPS = 12


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
    batch_size: int = 500,
    keep_adversarial: bool = False,
) -> MarginTable:
    """Estimate each image's signed margin with DeepFool.

    Args:
        model: maps [B, C, H, W] or [B, D] float32 to logits [B, K]; eval mode.
        images: [N, C, H, W] or [N, D] floats in the range of `clip`.
        labels: [N] integers in [0, K).
        norm: `linf` or `l2`.
        clip: range of valid inputs; None: unbounded.
        max_iterations: gradient iterations a sample.
        overshoot: share by which each perturbation is stretched to cross.
        bisection_steps: halvings of the segment from the image to the point found.
        num_candidates: other classes looked at, the most likely ones, ranked anew each iteration.
        batch_size: images at once; changes the speed, not the result.
        keep_adversarial: also return the points across the boundary.

    Returns:
        The table; `margin` overestimates the distance, as every constructive estimator does.

    Raises:
        DataError: a model in train mode or giving probabilities, labels out of range, images that are not floats
            in the range of `clip`.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
        >>> table = deepfool_margins(model, [[0.9, 0.3], [0.9, 0.3]], [0, 1])
        >>> [round(float(margin), 2) for margin in table.margin]
        [0.3, -0.3]
    """
    search = partial(
        _search,
        norm=norm,
        clip=clip,
        max_iterations=max_iterations,
        overshoot=overshoot,
        num_candidates=num_candidates,
    )
    return measure_margins(
        search,
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
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    prediction: Tensor,
    *,
    norm: Norm,
    clip: Clip,
    max_iterations: int,
    overshoot: float,
    num_candidates: int,
) -> Crossing:
    was_correct = prediction == labels
    total = torch.zeros_like(images)
    points = images.clone()
    crossed = torch.zeros_like(was_correct)
    iterations = torch.zeros_like(labels)
    active = torch.arange(len(images), device=images.device)
    for index in range(max_iterations + 1):
        current = clip_to(images[active] + (1 + overshoot) * total[active], clip).requires_grad_(True)
        logits = model(current)
        points[active] = current.detach()
        across = is_across(logits.argmax(1), labels[active], was_correct[active])
        crossed[active[across]] = True
        iterations[active] = index
        if index == max_iterations or across.all():
            break
        gaps, normals = _linearise(logits, current, labels[active], num_candidates)
        if index == 0:
            slack = overshoot * gaps.amax(1, keepdim=True).abs()
        stays = ~across
        active = active[stays]
        beyond = torch.where(was_correct[active, None], -index * slack[active], (1 + index) * slack[active])
        aimed = gaps[stays] + beyond
        total[active] += _step(aimed, normals[stays], current.detach()[stays], was_correct[active], norm, clip)
    return Crossing(
        _shorten(model, images, labels, points, crossed & was_correct, norm, clip, overshoot), crossed, iterations
    )


def _shorten(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    points: Tensor,
    rows: Tensor,
    norm: Norm,
    clip: Clip,
    overshoot: float,
) -> Tensor:
    """Aim once more from the image at the boundary as it looks where it was crossed; keep what is across and nearer."""
    if not rows.any():
        return points
    found = points[rows].requires_grad_(True)
    logits = model(found)
    gap = cw_margin(logits, labels[rows])
    (normal,) = torch.autograd.grad(gap.sum(), found)
    start, reached, normal = images[rows].flatten(1), found.detach().flatten(1), normal.flatten(1)
    from_image = (gap.detach() + (normal * (start - reached)).sum(1)).clamp_max(0.0)
    step = _step_within(normal, from_image.abs(), start, norm, clip)
    nearer = clip_to(start + (1 + overshoot) * step, clip).reshape(found.shape)
    with torch.no_grad():
        across = model(nearer).argmax(1) != labels[rows]
    is_better = across & (norms(nearer - images[rows], norm) < norms(found.detach() - images[rows], norm))
    points = points.clone()
    points[rows] = torch.where(per_row(is_better, nearer), nearer, found.detach())
    return points


def _step_within(normals: Tensor, gaps: Tensor, images: Tensor, norm: Norm, clip: Clip) -> Tensor:
    """Return the shortest step [B, D] with ``normals . step = gaps`` that stays in the valid range.

    The step is ``scale * sign(w)`` (L-inf) or ``scale * w`` (L2), cut off at the range. What it gains is a concave,
    piecewise linear function of the scale, so Newton's method climbs to the answer in a few steps and never beyond.
    """
    direction = normals.sign() if norm == "linf" else normals
    gains = normals.abs() * direction.abs()
    reach = _room(direction, images, clip)
    scale = torch.zeros_like(gaps)
    for _ in range(_NEWTON_STEPS):
        is_free = reach > scale[:, None]
        slope = (gains * is_free).sum(1)
        missing = gaps - (gains * torch.minimum(reach, scale[:, None])).sum(1)
        scale = scale + torch.where(slope > 0, missing.clamp_min(0.0) / slope.clamp_min(_TINY), 0.0)
    return direction * torch.minimum(reach, scale[:, None])


def _room(direction: Tensor, images: Tensor, clip: Clip) -> Tensor:
    """Return how often each pixel can go its direction before it leaves the valid range."""
    if clip is None:
        return torch.full_like(images, torch.inf)
    low, high = clip
    space = torch.where(direction > 0, high - images, images - low)
    return torch.where(direction == 0, torch.inf, space / direction.abs().clamp_min(_TINY))


def _linearise(logits: Tensor, images: Tensor, labels: Tensor, num_candidates: int) -> tuple[Tensor, Tensor]:
    """Return ``d_k = f_k - f_y`` [B, C] and ``w_k = grad d_k`` [B, C, D] of the C most likely other classes."""
    count = min(num_candidates, logits.shape[1] - 1)
    others = logits.detach().scatter(1, labels[:, None], -torch.inf).topk(count, dim=1).indices
    gaps = logits.gather(1, others) - logits.gather(1, labels[:, None])
    normals = [
        torch.autograd.grad(gaps[:, k].sum(), images, retain_graph=k + 1 < count)[0].flatten(1) for k in range(count)
    ]
    return gaps.detach(), torch.stack(normals, 1)


def _step(gaps: Tensor, normals: Tensor, images: Tensor, was_correct: Tensor, norm: Norm, clip: Clip) -> Tensor:
    flat = images.flatten(1)
    step = torch.empty_like(flat)
    leave, reach = was_correct, ~was_correct
    if leave.any():
        step[leave] = _step_to_nearest(gaps[leave], normals[leave], flat[leave], norm, clip)
    if reach.any():
        step[reach] = _step_to_all(gaps[reach], -normals[reach], flat[reach], norm, clip)
    return step.reshape(images.shape)


def _step_to_nearest(gaps: Tensor, normals: Tensor, images: Tensor, norm: Norm, clip: Clip) -> Tensor:
    """Step onto one of the hyperplanes ``d_k + w_k . step = 0``: the nearest for the pixels that can move."""
    movable = _movable(normals, images[:, None], clip)
    nearest = (gaps.abs() / _dual_norm(movable, norm)).argmin(1)
    rows = torch.arange(len(gaps), device=gaps.device)
    normal = normals[rows, nearest]
    return _step_along(normal, gaps[rows, nearest].abs() / _dual_norm(normal, norm), norm)


def _step_to_all(gaps: Tensor, normals: Tensor, images: Tensor, norm: Norm, clip: Clip) -> Tensor:
    """Step to where ``w_k . step >= d_k`` for every class.

    A mixture l of the constraints gives a direction, and ``l.d / ||sum l_k w_k||_*`` bounds the length from below.
    The mixtures climb that bound. Of their directions, and of the averages of these, which recover the entries that
    the best mixture leaves undecided, the one is taken that satisfies every constraint after the shortest way.
    Where none does, the largest bound is gone along the average.
    """
    mixture = _first_mixture(gaps, normals, norm)
    shortest, bound = torch.full_like(gaps[:, 0], torch.inf), torch.zeros_like(gaps[:, 0])
    step, average, average_gains = torch.zeros_like(images), torch.zeros_like(images), torch.zeros_like(gaps)
    for index in range(_DUAL_STEPS):
        mixed = _movable((mixture[..., None] * normals).sum(1), images, clip)
        length = _dual_norm(mixed, norm)
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
        slope /= slope.abs().amax(1, keepdim=True).clamp_min(_TINY)
        mixture = torch.softmax((mixture + _TINY).log() + slope * (_DUAL_RATE / (1 + index) ** 0.5), 1)
    return torch.where(shortest.isfinite()[:, None], step, bound[:, None] * average)


def _first_mixture(gaps: Tensor, normals: Tensor, norm: Norm) -> Tensor:
    """Return weights [B, C] that favour the constraints farthest from being satisfied."""
    distances = gaps / _dual_norm(normals, norm)
    farthest = distances.amax(1, keepdim=True).clamp_min(_TINY)
    return torch.softmax((distances / farthest).clamp_min(-1.0), 1)


def _scale_to_satisfy(gaps: Tensor, gains: Tensor) -> Tensor:
    """Return the least scale [B] at which ``scale * gains >= gaps`` for every class; inf where there is none."""
    scales = gaps / gains.masked_fill(gains == 0, _TINY)
    least = scales.masked_fill(gains <= 0, 0.0).masked_fill((gains <= 0) & (gaps > 0), torch.inf).amax(1)
    most = scales.masked_fill(gains >= 0, torch.inf).amin(1)
    return torch.where(least <= most, least.clamp_min(0.0), torch.inf)


def _movable(normals: Tensor, images: Tensor, clip: Clip) -> Tensor:
    """Set to 0 the entries that push a pixel out of the valid range it already sits on the edge of."""
    if clip is None:
        return normals
    low, high = clip
    is_stuck = ((images <= low) & (normals < 0)) | ((images >= high) & (normals > 0))
    return normals.masked_fill(is_stuck, 0.0)


def _dual_norm(normals: Tensor, norm: Norm) -> Tensor:
    lengths = normals.abs().sum(-1) if norm == "linf" else normals.norm(dim=-1)
    return lengths.clamp_min(_TINY)


def _step_along(normals: Tensor, distances: Tensor, norm: Norm) -> Tensor:
    direction = normals.sign() if norm == "linf" else normals / _dual_norm(normals, "l2")[:, None]
    return per_row(distances, normals) * direction
