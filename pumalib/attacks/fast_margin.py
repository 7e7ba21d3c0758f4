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
    """Estimate each image's signed margin with BIM on the cross-entropy and a bisection.

    Args:
        model: maps [B, C, H, W] or [B, D] float32 to logits [B, K]; eval mode.
        images: [N, C, H, W] or [N, D] floats in the range of `clip`; also [N, H, W, C], and uint8, divided by 255.
        labels: [N] integers in [0, K).
        norm: `linf` or `l2`.
        clip: range of valid inputs; None: unbounded.
        step_size: step, pixel scale (a choice of ours; smaller is tighter and slower).
        max_iterations: gradient steps a sample; max_iterations * step_size is the farthest it looks.
        bisection_steps: the crossing is enclosed as narrowly as by this many halvings of the segment from the image to
            the point found.
        batch_size: images at once, None: 500, fewer of large ones; changes the speed, not the result.
        keep_adversarial: also return the points across the boundary.
        up_to: distance from which on a margin need not be exact; None: there is none. A row of which no crossing nearer
            than this is found has the margin `up_to`, signed, and is marked as bounded.

    Returns:
        The table; `margin` overestimates the distance, by more than DeepFool's where several classes are near.

    Raises:
        DataError: labels or images that do not fit, or a model that would be mismeasured; see `inputs.check_inputs`.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
        >>> table = fast_margins(model, [[0.9, 0.3], [0.9, 0.3]], [0, 1])
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
