"""The Square attack (Andriushchenko et al. 2020), L-inf: random search over squares, without gradients.

Every pixel stands at one end of its range in the ball. The first query tries vertical stripes; each later one sets the
pixels of a square at a random place to one end a channel, and what raises the margin loss is kept. Squares shrink by
the authors' schedule, stretched to the number of queries. Where we differ: squares reach the last row and column,
which the authors' code leaves out, and may be as high or wide as the image; a square that would change nothing takes
the other ends instead of being drawn again.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pumalib.attacks.batch import Ball, Batch, Found
from pumalib.attacks.gradient_ascent import clip_to
from pumalib.attacks.objectives import cw_margin
from pumalib.attacks.projection import per_row
from pumalib.attacks.settings import SquareSettings
from pumalib.randomness import derive_seed, uniform_per_row

_HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""After how many of 10,000 queries the share of the pixels in a square is halved."""

_DRAWN_AT_ONCE = 250
"""Queries whose random numbers are drawn together."""


class _Climb(NamedTuple):
    """The images that are not fooled yet.

    Attributes:
        places: [A] int64, in the batch.
        labels: [A] int64.
        low, high: [A, C, H, W], the ends of each pixel's range.
        best: [A, C, H, W], the point with the highest loss so far.
        loss: [A], there.
        draws: [A, Q, 2 + C] in [-1, 1): where the squares of the next queries lie, and the end of each channel.
    """

    places: Tensor
    labels: Tensor
    low: Tensor
    high: Tensor
    best: Tensor
    loss: Tensor
    draws: Tensor


@torch.no_grad()
def attack(model: nn.Module, batch: Batch, ball: Ball, settings: SquareSettings) -> Found:
    """Search a wrong prediction by random search; stop a row at its first wrong query.

    Args:
        model: maps [B, ...] to logits [B, K]; eval mode.
        batch: rightly classified images, [B, C, H, W]; [B, D] are lines of D pixels.
        ball: where to look; L-inf.
        settings: number of queries and size of the first squares.

    Returns:
        The first wrong query, or the one with the highest loss where none was wrong.

    Raises:
        ValueError: another norm.
    """
    if ball.norm != "linf":
        raise ValueError(f"expected norm linf for the Square attack, got {ball.norm}; give another attack")
    found, prediction = batch.images.clone(), batch.labels.clone()  # [B, ...], [B]
    climb = _begin(batch, ball)
    # Invariant: `climb` holds the A rows that are not fooled, with the best point and loss of each. A turn asks about
    # one square a row and keeps what raises the loss. A row leaves at its first wrong query.
    for query in range(settings.queries):
        if query % _DRAWN_AT_ONCE == 0:
            climb = climb._replace(draws=_draw(climb, batch, query))  # [A, Q, 2 + C]
        proposed = _propose(climb, query, settings) if query else climb.best  # [A, C, H, W]
        logits = model(proposed.reshape(-1, *found.shape[1:]))  # [A, K]; the model sees the shape it was given
        predicted, loss = logits.argmax(1), cw_margin(logits, climb.labels)  # [A], [A]
        is_fooled = predicted != climb.labels  # [A]
        # A tie in the logits may fool a row without raising its loss, hence both.
        is_kept = is_fooled | (loss > climb.loss)  # [A]
        best = torch.where(per_row(is_kept, proposed), proposed, climb.best)  # [A, C, H, W]
        climb = climb._replace(best=best, loss=torch.maximum(loss, climb.loss))
        # All A rows are written; those that are not fooled are written again later.
        if is_fooled.any():
            found[climb.places], prediction[climb.places] = best.reshape(-1, *found.shape[1:]), predicted
            climb = _Climb(*(column[~is_fooled] for column in climb))
        if len(climb.places) == 0:
            break
    found[climb.places] = climb.best.reshape(-1, *found.shape[1:])
    return Found(found, prediction)


def _begin(batch: Batch, ball: Ball) -> _Climb:
    """Put every pixel at an end of its range, in vertical stripes."""
    images = batch.images.reshape(-1, *(1, 1, *batch.images.shape[1:])[-3:])  # [B, C, H, W]; [B, 1, 1, D] for vectors
    low, high = clip_to(images - ball.epsilon, ball.clip), clip_to(images + ball.epsilon, ball.clip)
    _, num_channels, _, width = images.shape
    stripes = uniform_per_row(derive_seed(batch.seed, "stripes"), batch.rows, (num_channels, 1, width))  # [B, C, 1, W]
    best = torch.where(torch.from_numpy(stripes).to(images) < 0, low, high)  # [B, C, H, W]
    places = torch.arange(len(images), device=images.device)
    loss = images.new_full((len(images),), -torch.inf)  # [B]; -inf, so that query 0 is kept
    return _Climb(places, batch.labels, low, high, best, loss, images.new_empty(len(images), 0, 0))


def _draw(climb: _Climb, batch: Batch, query: int) -> Tensor:
    """Draw the random numbers of the queries from this one on, each row from its own stream."""
    shape = (_DRAWN_AT_ONCE, 2 + climb.best.shape[1])
    # By dataset row and query, so that draws do not depend on which rows are left.
    rows = batch.rows[climb.places.cpu().numpy()]  # [A], in the dataset
    return torch.from_numpy(uniform_per_row(derive_seed(batch.seed, "squares", query), rows, shape)).to(climb.best)


def _propose(climb: _Climb, query: int, settings: SquareSettings) -> Tensor:
    """Return each best point with one square set to other ends."""
    draws = climb.draws[:, query % _DRAWN_AT_ONCE]  # [A, 2 + C]
    inside = _square(draws, climb.best, _share(query, settings))  # [A, 1, H, W]
    is_low = (draws[:, 2:] < 0)[:, :, None, None]  # [A, C, 1, 1]
    proposed = torch.where(inside, torch.where(is_low, climb.low, climb.high), climb.best)  # [A, C, H, W]
    is_same = (proposed == climb.best).flatten(1).all(1)  # [A]
    # The exclusive or turns every channel of a row to its other end.
    return torch.where(inside, torch.where(is_low ^ per_row(is_same, is_low), climb.low, climb.high), climb.best)


def _share(query: int, settings: SquareSettings) -> float:
    """Return the share of the pixels in the square of a query, the first square being that of query 1."""
    elapsed = int((query - 1) / settings.queries * 10_000)
    return settings.initial_share * 0.5 ** bisect_left(_HALVINGS, elapsed)


def _square(draws: Tensor, images: Tensor, share: float) -> Tensor:
    """Return the mask [A, 1, H, W] of a square of this share of the pixels, at a place of its own in each image."""
    height, width = images.shape[2:]
    side = max(round((share * height * width) ** 0.5), 1)
    return _band(draws[:, 0], height, side)[:, None, :, None] & _band(draws[:, 1], width, side)[:, None, None, :]


def _band(draws: Tensor, length: int, side: int) -> Tensor:
    """Return the mask [A, length] of a band of this width, or of the whole length, at uniform places."""
    num_places = max(length - side, 0) + 1
    # In half precision a draw can round to 1, hence the clamp.
    first = ((draws + 1) / 2 * num_places).long().clamp_max(num_places - 1)[:, None]  # [A, 1]
    pixels = torch.arange(length, device=draws.device)  # [length]
    return (pixels >= first) & (pixels < first + side)
