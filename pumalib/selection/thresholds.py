"""Thresholds: which scores lie on one side of a number."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

THRESHOLDS = {"below": np.less, "at_most": np.less_equal, "at_least": np.greater_equal, "above": np.greater}
"""Comparison of each threshold."""


def beyond(score: ArrayLike, threshold: str, value: float) -> NDArray[np.bool_]:
    """Return which scores lie on a threshold's side: [N] bool.

    Args:
        score: [N] numbers; NaN lies on no side.
        threshold: `below`, `at_most`, `at_least` or `above`.
        value: rounded as the scores are.
    """
    side: NDArray[np.bool_] = THRESHOLDS[threshold](np.asarray(score, np.float64), _rounded_like(score, value))
    return side


def _rounded_like(score: ArrayLike | None, value: float) -> float:
    """Round a threshold as the scores were rounded: 1/50 in float32 is equal to 0.02, not below it."""
    dtype = np.asarray(score).dtype
    return float(dtype.type(value)) if np.issubdtype(dtype, np.floating) else value
