"""The fast margin (PUMA, Algorithm 1), with its errata mended: cost does not grow with the number of classes.

As printed, the search stops on any change of the prediction, so a misclassified sample may stop in a third class;
here it stops only at its label. The printed bisection scales the perturbation by a signed distance; here it halves
the segment. Iterates are clipped to the valid range, and reaching the limit is flagged. The gradient is that of the log
odds, which has the direction of the cross-entropy's and does not vanish where the model is sure.
"""

from __future__ import annotations

from functools import partial

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from pumalib.attacks.counted import CountedModel
from pumalib.attacks.gradient_ascent import Clip, clip_to
from pumalib.attacks.margins import Crossing, MarginTable, measure_margins, search_radius
from pumalib.attacks.objectives import log_odds_against
from pumalib.attacks.projection import norms, steepest
from pumalib.attacks.threat_settings import Norm

_SLACK = 1.25
"""Times `up_to`: how far is searched for margins up to there; a choice of ours. The way there is not quite straight."""


def fast_margins(
    model: nn.Module,
    images: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    norm: Norm = "linf",
    clip: Clip = (0.0, 1.0),
    step_size: float = 1 / 255,
    max_iterations: int = 200,
    bisection_steps: int = 10,
    batch_size: int | None = None,
    keep_adversarial: bool = False,
    up_to: float | None = None,
) -> MarginTable:
    """Estimate each image's signed margin with the fast margin of the paper: gradient steps, then a bisection.

    A margin is the distance from an image to the decision boundary. It is above 0 where the model is right. Where the
    model is wrong, it is minus the distance to the nearest point that gets the label.

    Args:
        model: maps float32 [B, C, H, W] or [B, D] to logits [B, K], K classes; in eval mode.
        images: [N, C, H, W] or [N, D] floats in the range of `clip`; also [N, H, W, C], and uint8, divided by 255.
        labels: [N] integers in [0, K).
        norm: `linf` or `l2`, in which distances are measured.
        clip: lowest and highest value of a valid input; None: any value is valid.
        step_size: length of a gradient step in `norm`, in units of the images. Smaller is tighter and slower. The
            default is a choice of ours.
        max_iterations: gradient steps for each image, at most. The search looks as far as max_iterations times
            step_size.
        bisection_steps: how narrowly the crossing is enclosed: as by this many halvings of the segment from the image
            to the point found.
        batch_size: images at once; None: 500, fewer of large ones. It changes the speed, not the result.
        keep_adversarial: whether the points across the boundary are returned too.
        up_to: distance from which on a margin need not be exact, in units of the images; None: there is none. If no
            crossing nearer than this is found, the margin is `up_to`, signed, and the row is marked as bounded.

    Returns:
        A row for each image. Margins are in units of the images: pixel scale where `clip` is (0, 1). Where a margin has
        converged, its size is at least the true distance. It is longer than DeepFool's where several classes are near.

    Raises:
        DataError: images, labels or a model that do not fit. The model must be in eval mode and give finite logits, not
            probabilities, that follow from each image alone.
        ValueError: another norm, or `up_to` that is not above 0.

    Source: PUMA, Algorithm 1, with its errata mended; see the module.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
        >>> table = fast_margins(model, [[0.9, 0.3], [0.9, 0.3]], [0, 1])  # the second label is wrong
        >>> [round(float(margin), 2) for margin in table.margin]
        [0.3, -0.3]
    """
    return measure_margins(
        partial(
            _search,
            norm=norm,
            clip=clip,
            step_size=step_size,
            max_iterations=max_iterations,
            farthest=search_radius(up_to, _SLACK),
        ),
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


def _search(
    model: CountedModel,
    images: Tensor,
    labels: Tensor,
    prediction: Tensor,
    *,
    norm: Norm,
    clip: Clip,
    step_size: float,
    max_iterations: int,
    farthest: float | None,
) -> Crossing:
    was_correct = prediction == labels
    points = images.clone()  # [B, ...]
    crossed, beyond = torch.zeros_like(was_correct), torch.zeros_like(was_correct)  # [B], [B]
    iterations = torch.zeros_like(labels)  # [B]
    active = torch.arange(len(images), device=images.device)  # [A]
    # Algorithm 1, lines 8-11. Invariant: an active row has never been across. A turn looks, lets rows that are across
    # leave with their point as it is, and steps the others by `step_size`. The last turn only looks.
    for index in range(max_iterations + 1):
        look = model.look(points[active], active)  # rows [A]
        across = model.is_across(look.logits, labels[active], was_correct[active])  # [A]
        crossed[active[across]] = True
        iterations[active] = index
        if index == max_iterations or across.all():
            break
        gradient = look.gradient(log_odds_against(look.logits, labels[active]))  # [A, D]
        stays = ~across
        active = active[stays]  # [S]
        # k of lines 4 to 7: +1 goes up the loss to leave the label, -1 goes down it to reach the label.
        up = was_correct[active].to(images.dtype) * 2 - 1  # [S]
        direction = (steepest(gradient[stays], norm) * up[:, None]).reshape(len(active), *points.shape[1:])  # [S, ...]
        points[active] = clip_to(points[active] + step_size * direction, clip)
        if farthest is not None:
            beyond[active] = norms(points[active] - images[active], norm) > farthest
            active = active[~beyond[active]]
            if len(active) == 0:
                break
    return Crossing(points, crossed, iterations, beyond)
