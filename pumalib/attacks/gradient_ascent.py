"""Projected gradient ascent with a radius of its own for each row: the inner attack of adversarial training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pumalib.attacks.projection import per_row, project, project_, steepest
from pumalib.attacks.threat_settings import Norm

Clip = tuple[float, float] | None
"""Lowest and highest value of a valid input; None: any value is valid."""


def clip_to(images: Tensor, clip: Clip) -> Tensor:
    """Clip to the range of valid inputs; None leaves them."""
    return images if clip is None else images.clamp(*clip)


def ascend(
    objective: Callable[[Tensor], Tensor],
    images: Tensor,
    start: Tensor,
    radii: Tensor,
    step_sizes: Tensor,
    num_steps: int,
    norm: Norm,
    clip: Clip = (0.0, 1.0),
) -> Tensor:
    """Maximise an objective inside each row's own ball.

    Args:
        objective: maps [B, ...] inputs to [B] values to maximise.
        images: [B, ...] float, the centres.
        start: [B, ...] float, the first perturbation.
        radii: [B] float, at least 0.
        step_sizes: [B] float, at least 0.
        num_steps: gradient steps.
        norm: `linf` or `l2`.
        clip: range of valid inputs, or None.

    Returns:
        [B, ...] perturbed inputs, detached.
    """
    adversarial = clip_to(images + project(start, radii, norm), clip)
    for _ in range(num_steps):
        adversarial.requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective(adversarial).sum(), adversarial)
        adversarial = step(adversarial.detach(), images, gradient, radii, step_sizes, norm, clip)
    return adversarial.detach()


def ascend_each(
    objective: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    start: Tensor,
    radii: Tensor,
    step_sizes: Tensor,
    num_steps: Tensor,
    norm: Norm,
    clip: Clip = (0.0, 1.0),
) -> Tensor:
    """Ascend as `ascend` does, each row for its own number of steps; a row of none stays at its centre.

    Args:
        objective: maps [A, ...] inputs and their places [A] in the batch to [A] values to maximise.
        images, start, radii, step_sizes, norm, clip: as in `ascend`.
        num_steps: [B] int64, gradient steps of each row.

    Returns:
        [B, ...] perturbed inputs, detached.
    """
    begun = torch.nonzero(num_steps > 0).squeeze(1)
    points = images.clone()
    points[begun] = clip_to(images[begun] + project(start[begun], radii[begun], norm), clip)
    # Invariant: `points` have taken `index` steps, or all of their own. A turn steps the rows [A] that have some left.
    for index in range(int(num_steps.max())):
        places = torch.nonzero(num_steps > index).squeeze(1)
        inputs = points[places].requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective(inputs, places).sum(), inputs)
        around = images[places], gradient, radii[places], step_sizes[places]
        points[places] = step(inputs.detach(), *around, norm, clip)
    return points


def step(
    adversarial: Tensor,
    images: Tensor,
    gradient: Tensor,
    radii: Tensor,
    step_sizes: Tensor,
    norm: Norm,
    clip: Clip,
) -> Tensor:
    """Take one step of steepest ascent and return to the ball and the range of valid inputs; radii are not checked."""
    moved = steepest(gradient, norm).mul_(per_row(step_sizes, images)).add_(adversarial)
    inside = project_(moved.sub_(images), radii, norm).add_(images)
    return inside if clip is None else inside.clamp_(*clip)
