"""Projected gradient ascent with a radius of its own for each row: the inner attack of adversarial training."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pumalib.attacks.projection import per_row, project, project_, steepest
from pumalib.attacks.threat_settings import Norm

Clip = tuple[float, float] | None


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
