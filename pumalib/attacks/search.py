"""PGD as an evaluation: any wrong iterate counts, and fooled images leave the batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pumalib.attacks.batch import Ball, Batch, Found
from pumalib.attacks.gradient_ascent import clip_to, step
from pumalib.attacks.projection import per_row, start_in_ball
from pumalib.attacks.screening import search_screened
from pumalib.attacks.settings import CwPgdSettings, PgdSettings
from pumalib.randomness import derive_seed, uniform_per_row

Objective = Callable[[Tensor, Tensor], Tensor]

_TURNS_A_LOOK = 4
"""Steps on an accelerator from one look at which rows are wrong, which waits for it, to the next. Rows that are wrong
stand still until then."""


def find_adversarial(
    model: nn.Module, batch: Batch, ball: Ball, settings: CwPgdSettings | PgdSettings, objective: Objective
) -> Found:
    """Search a wrong prediction around each image; stop a row at its first wrong iterate.

    Args:
        model: maps [B, ...] to logits [B, K]; eval mode.
        batch: rightly classified images.
        ball: where to look.
        settings: steps, their size (a quarter of epsilon unless said), restarts, and whether half precision goes first.
        objective: maps (logits, labels) to [B] values to maximise.

    Returns:
        The first wrong iterate, or the last iterate of the last restart where none was wrong.
    """
    search = partial(_search, ball=ball, settings=settings, objective=objective)
    return search(model, batch) if settings.screening is None else search_screened(model, batch, search)


def _search(
    model: nn.Module, batch: Batch, ball: Ball, settings: CwPgdSettings | PgdSettings, objective: Objective
) -> Found:
    """Search in the precision of the model; see `find_adversarial`."""
    found, prediction = batch.images.clone(), batch.labels.clone()  # [B, ...], [B]
    active = torch.arange(len(found), device=found.device)  # [A], rows never fooled
    # Invariant: `found` holds the first wrong iterate of rows that were fooled, the last iterate of the others. A turn
    # restarts the rows that no restart has fooled yet; fooled ones leave for good. Without random starts a second turn
    # would repeat the first.
    for restart in range(settings.restarts if settings.random_start else 1):
        if len(active) == 0:
            break
        images, labels = batch.images[active], batch.labels[active]  # [A, ...], [A]
        start = images
        if settings.random_start:
            seed = derive_seed(batch.seed, "restart", restart)
            start = _random_start(images, batch.rows[active.cpu().numpy()], ball, seed)
        found[active], prediction[active] = _search_once(model, images, labels, start, objective, ball, settings)
        active = active[prediction[active] == labels]
    return Found(found, prediction)


def _random_start(images: Tensor, rows: NDArray[np.int64], ball: Ball, seed: int) -> Tensor:
    """Return a random point in the ball around each image, each row from its own stream."""
    # By dataset row, so that a start depends neither on the batch nor on which rows are left.
    noise = torch.from_numpy(uniform_per_row(seed, rows, tuple(images.shape[1:]))).to(images)  # [A, ...] in [-1, 1)
    return clip_to(images + start_in_ball(noise, _radii(images, ball), ball.norm), ball.clip)


def _radii(images: Tensor, ball: Ball) -> Tensor:
    return images.new_full((len(images),), ball.epsilon)


def _search_once(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    current: Tensor,
    objective: Objective,
    ball: Ball,
    settings: CwPgdSettings | PgdSettings,
) -> tuple[Tensor, Tensor]:
    """Return the first wrong iterate, or the last, and the prediction there."""
    radii = _radii(images, ball)  # [A]
    step_sizes = radii * ((settings.step_size or ball.epsilon / 4) / ball.epsilon)  # [A]
    found, prediction = current.clone(), labels.clone()  # [A, ...], [A]
    active = torch.arange(len(images), device=images.device)  # [S], where the rows left stand among the A
    # Invariant: `active`, `images`, `labels`, `radii`, `step_sizes` and `current` hold the same S rows, none of them
    # seen to be wrong. A turn looks, lets wrong rows leave, and takes one PGD step with the rest. The last turn only
    # looks. Turns between the looks of an accelerator leave wrong rows where they are.
    between = 1 if current.device.type == "cpu" else _TURNS_A_LOOK
    for index in range(settings.steps + 1):
        is_last, looks = index == settings.steps, index % between == 0
        current = current.detach().requires_grad_(not is_last)  # [S, ...]
        logits = model(current)  # [S, K]
        predicted = logits.argmax(1)  # [S]
        stays = predicted == labels  # [S]
        num_staying = 0 if is_last else int(stays.sum()) if looks else len(stays)
        # Rows that stay are written as well; a later turn overwrites them.
        if num_staying < len(stays):
            found[active], prediction[active] = current.detach(), predicted
        if num_staying == 0:
            break
        # Before rows are dropped: the graph was built with all of them.
        (gradient,) = torch.autograd.grad(objective(logits, labels).sum(), current)  # [S, ...]
        current = current.detach()
        if num_staying < len(stays):
            places = torch.nonzero(stays).squeeze(1)
            active, images, labels, radii, step_sizes, gradient, current = (
                column[places] for column in (active, images, labels, radii, step_sizes, gradient, current)
            )
        stepped = step(current, images, gradient, radii, step_sizes, ball.norm, ball.clip)
        current = stepped if looks else torch.where(per_row(stays, stepped), stepped, current)
    return found, prediction
