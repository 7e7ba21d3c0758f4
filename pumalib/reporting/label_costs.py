"""Geometry of boxes and pieces of lines: what labels of a figure cover and cross."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def shared_areas(boxes: Array, others: Array) -> Array:
    """Return the area [B, O] that boxes [B, 4] and other boxes [O, 4] (left, bottom, right, top) have in common."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(2))


def outside_areas(boxes: Array, frame: Array) -> Array:
    """Return the area [B] of boxes [B, 4] that lies outside of a frame [4]."""
    own = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return np.asarray(own - shared_areas(boxes, frame[None])[:, 0])


def lengths_inside(pieces: Array, boxes: Array) -> Array:
    """Return the length [P, B] of each piece of a line [P, 4] (from x, y, to x, y) inside each box [B, 4]; nan: 0."""
    start, step = pieces[:, None, :2], (pieces[:, 2:] - pieces[:, :2])[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (boxes[None, :, :2] - start) / step, (boxes[None, :, 2:] - start) / step
    is_between = (start >= boxes[None, :, :2]) & (start <= boxes[None, :, 2:])
    is_still = np.broadcast_to(step == 0, one.shape)
    enter = np.where(is_still, np.where(is_between, -np.inf, np.inf), np.minimum(one, other)).max(2)
    leave = np.where(is_still, np.where(is_between, np.inf, -np.inf), np.maximum(one, other)).min(2)
    share = np.clip(np.minimum(leave, 1) - np.maximum(enter, 0), 0, None)
    return np.asarray(np.nan_to_num(share * np.hypot(step[..., 0], step[..., 1])))


def crossings(pieces: Array, others: Array) -> NDArray[np.bool_]:
    """Return whether each piece [P, 4] crosses each other piece [O, 4]; nan: no."""
    one, other = pieces[:, None], others[None]
    ends = _side(one, other[..., :2]) * _side(one, other[..., 2:])
    turned = _side(other, one[..., :2]) * _side(other, one[..., 2:])
    return np.asarray((ends < 0) & (turned < 0))


def _side(pieces: Array, points: Array) -> Array:
    """Return on which side of a piece a point lies: the sign of twice the triangle's area."""
    along, away = pieces[..., 2:] - pieces[..., :2], points - pieces[..., :2]
    return np.asarray(along[..., 0] * away[..., 1] - along[..., 1] * away[..., 0])
