"""What a score that stops at a distance still decides: its bounded rows lie at their score or farther from 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pumalib.selection.thresholds import beyond

_ROUNDING = 1e-6
"""Relative, of sums of amounts that users write, and of scores in float32."""


def at_their_farthest(score: ArrayLike, bounded: ArrayLike) -> NDArray[np.floating]:
    """Return scores [N] with bounded ones as far from 0 as they may lie: infinite, of their sign."""
    scores = np.asarray(score)
    return np.where(np.asarray(bounded, bool), np.copysign(np.inf, scores), scores)


def undecided(score: ArrayLike, bounded: ArrayLike, threshold: str, value: float) -> NDArray[np.bool_]:
    """Return which rows may lie on either side of a threshold, [N] bool.

    Args:
        score: [N] numbers.
        bounded: [N] bool, rows that lie at their score or farther from 0.
        threshold: `below`, `at_most`, `at_least` or `above`.
        value: of the threshold.
    """
    # A threshold is monotone: where both ends of what a row may be are on one side, so is all between them.
    sides = [beyond(each, threshold, value) for each in (score, at_their_farthest(score, bounded))]
    either: NDArray[np.bool_] = (sides[0] != sides[1]) & np.asarray(bounded, bool)
    return either


def reaches(bound: ArrayLike, distance: float) -> NDArray[np.bool_]:
    """Say which bounds [N] lie as far from 0 as a distance, or farther."""
    enough: NDArray[np.bool_] = np.abs(np.asarray(bound, np.float64)) >= distance * (1 - _ROUNDING)
    return enough
