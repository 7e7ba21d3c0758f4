"""DeepFool as it was published (Moosavi-Dezfooli et al. 2016, Algorithm 2, and its L-inf form), with nothing added.

For comparisons with work that used it; `deepfool` finds shorter perturbations and signs them. Differences from that:

* the classes are ranked once, at the image;
* each step is 1e-4 longer than the linearised distance, as in the authors' code and in foolbox;
* nothing is aimed at anew or bisected, so that the margin holds the overshoot;
* pixels at the edge of the valid range count as if they could move;
* a misclassified image has margin 0: foolbox returns the image itself. The authors' code would leave the wrong class.
"""

from __future__ import annotations

from functools import partial

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from pumalib.attacks.counted import CountedModel, Look
from pumalib.attacks.gradient_ascent import Clip, clip_to
from pumalib.attacks.hyperplanes import dual_norm, step_along
from pumalib.attacks.margins import Crossing, MarginTable, measure_margins
from pumalib.attacks.nearest_boundary import gaps_to, likeliest
from pumalib.attacks.threat_settings import Norm

_EXTRA = 1e-4
"""Added to the length of each step, pixel scale."""


def published_deepfool_margins(
    model: nn.Module,
    images: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    norm: Norm = "linf",
    clip: Clip = (0.0, 1.0),
    max_iterations: int = 50,
    overshoot: float = 0.02,
    num_candidates: int = 9,
    batch_size: int | None = None,
    keep_adversarial: bool = False,
) -> MarginTable:
    """Measure how far DeepFool as it was published moves each image; 0 where the model is wrong.

    Use it to compare with work that used DeepFool. `deepfool_margins` finds shorter perturbations and gives a sign.

    Args:
        model: maps float32 [B, C, H, W] or [B, D] to logits [B, K], K classes; in eval mode.
        images: [N, C, H, W] or [N, D] floats in the range of `clip`; also [N, H, W, C], and uint8, divided by 255.
        labels: [N] integers in [0, K).
        norm: `linf` or `l2`, in which distances are measured.
        clip: lowest and highest value of a valid input; None: any value is valid, as in the paper.
        max_iterations: gradient steps for each image, at most.
        overshoot: share by which each perturbation is stretched to cross.
        num_candidates: other classes that are looked at: the most likely ones at the image. With the predicted class
            these are ten, as in the authors' code and in foolbox.
        batch_size: images at once; None: 500, fewer of large ones. It changes the speed, not the result.
        keep_adversarial: whether the points across the boundary are returned too.

    Returns:
        A row for each image. `margin` is at least 0, in units of the images. `converged` says whether the label was
        left, or was not predicted to begin with.

    Raises:
        DataError: images, labels or a model that do not fit. The model must be in eval mode and give finite logits, not
            probabilities, that follow from each image alone.
        ValueError: another norm.

    Source: Moosavi-Dezfooli et al. 2016, Algorithm 2 and its L-inf form.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
        >>> table = published_deepfool_margins(model, [[0.9, 0.3], [0.9, 0.3]], [0, 1])  # the second label is wrong
        >>> [abs(round(float(margin), 4)) for margin in table.margin]  # 1.02 (0.3 + 1e-4), and 0
        [0.3061, 0.0]
    """
    search = partial(
        _search,
        norm=norm,
        clip=clip,
        overshoot=overshoot,
        max_iterations=max_iterations,
        num_candidates=num_candidates,
    )
    return measure_margins(
        search,
        model,
        images,
        labels,
        norm=norm,
        clip=clip,
        bisection_steps=0,
        batch_size=batch_size,
        keep_adversarial=keep_adversarial,
    )


def _search(
    model: CountedModel,
    images: Tensor,
    labels: Tensor,
    prediction: Tensor,
    *,
    norm: Norm,
    clip: Clip,
    overshoot: float,
    max_iterations: int,
    num_candidates: int,
) -> Crossing:
    """Step to the nearest linearised boundary until the label is left; misclassified images stay where they are."""
    crossing = Crossing(images.clone(), prediction != labels, torch.zeros_like(labels))
    total, active = torch.zeros_like(images), torch.nonzero(prediction == labels).squeeze(1)  # [B, ...], [A]
    others = torch.empty(0)
    # Invariant: `total` is the sum of the steps, and an active row has never been across. A turn looks, lets rows that
    # are across leave, and steps the others. The last turn only looks.
    for index in range(max_iterations + 1):
        if len(active) == 0:
            break
        look = model.look(clip_to(images[active] + (1 + overshoot) * total[active], clip), active)  # rows [A]
        across = look.logits.argmax(1) != labels[active]  # [A]
        crossing.points[active], crossing.crossed[active] = look.inputs.detach(), across
        crossing.iterations[active] = index
        if index == 0:
            others = likeliest(look.logits, labels[active], num_candidates)  # [A, C], ranked once
        if index == max_iterations or across.all():
            break
        step = _nearest_step(look, labels[active], others, norm)  # [A, D]
        active, others = active[~across], others[~across]
        total[active] += step[~across].reshape(len(active), *total.shape[1:])
    return crossing


def _nearest_step(look: Look, labels: Tensor, others: Tensor, norm: Norm) -> Tensor:
    """Return the step onto the nearest of the linearised boundaries, [A, D]: Algorithm 2, lines 7 to 9."""
    count = others.shape[1]
    gaps = [gaps_to(look.logits, labels, others[:, k]) for k in range(count)]  # C of [A]
    normals = torch.stack([look.gradient(gap, keep_graph=k + 1 < count) for k, gap in enumerate(gaps)], 1)  # [A, C, D]
    distances = torch.stack([gap.detach().abs() for gap in gaps], 1) / dual_norm(normals, norm)  # [A, C]
    nearest, best = distances.min(1)  # [A], [A]
    return step_along(normals[torch.arange(len(best), device=best.device), best], nearest + _EXTRA, norm)
