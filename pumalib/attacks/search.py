"""PGD as an evaluation: any wrong iterate counts, and fooled images leave the batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pumalib.attacks.gradient_ascent import Clip, clip_to, step
from pumalib.attacks.projection import start_in_ball
from pumalib.attacks.settings import Norm

Objective = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Ball:
    """Where the attack may look, and how it moves.

    Attributes:
        norm: `linf` or `l2`.
        epsilon: radius, pixel scale.
        step_size: step, pixel scale.
        num_steps: gradient steps.
        clip: range of valid inputs, or None.
    """

    norm: Norm
    epsilon: float
    step_size: float
    num_steps: int
    clip: Clip = (0.0, 1.0)


def find_adversarial(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    starts: list[Tensor | None],
    objective: Objective,
    ball: Ball,
) -> Tensor:
    """Search a wrong prediction around each image; stop a row at its first wrong iterate.

    Args:
        model: maps [B, ...] to logits [B, K]; eval mode.
        images: [B, ...] float, rightly classified.
        labels: [B] int64.
        starts: one entry a restart: noise in [-1, 1) like images, or None to start at the image.
        objective: maps (logits, labels) to [B] values to maximise.
        ball: where to look.

    Returns:
        [B, ...]: the first wrong iterate, or the last iterate of the last restart where none was wrong.
    """
    found = images.clone()
    active = torch.arange(len(images), device=images.device)
    for noise in starts:
        if len(active) == 0:
            break
        start = None if noise is None else noise[active]
        found[active], fooled = _search_once(model, images[active], labels[active], start, objective, ball)
        active = active[~fooled]
    return found


def _search_once(
    model: nn.Module, images: Tensor, labels: Tensor, noise: Tensor | None, objective: Objective, ball: Ball
) -> tuple[Tensor, Tensor]:
    radii = images.new_full((len(images),), ball.epsilon)
    current = images if noise is None else clip_to(images + start_in_ball(noise, radii, ball.norm), ball.clip)
    result = current.clone()
    active = torch.arange(len(images), device=images.device)
    for index in range(ball.num_steps + 1):
        is_last = index == ball.num_steps
        current = current.detach().requires_grad_(not is_last)
        logits = model(current)
        result[active] = current.detach()
        stays = logits.argmax(1) == labels[active]
        if is_last or not stays.any():
            active = active[stays]
            break
        (gradient,) = torch.autograd.grad(objective(logits, labels[active])[stays].sum(), current)
        active = active[stays]
        current = step(
            current.detach()[stays],
            images[active],
            gradient[stays],
            radii[active],
            radii[active] * (ball.step_size / ball.epsilon),
            ball.norm,
            ball.clip,
        )
    fooled = torch.ones(len(images), dtype=torch.bool, device=images.device)
    fooled[active] = False
    return result, fooled
