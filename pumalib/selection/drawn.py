"""Means over rows as training draws them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def draw_weights(source: NDArray[np.uint8], synthetic_fraction: float) -> NDArray[np.float64]:
    """Return how often each row is drawn in training, summing to 1.

    Args:
        source: [K] uint8 of the kept rows, 0 real, 1 synthetic.
        synthetic_fraction: share of synthetic rows in a batch; without effect where one source has no rows.
    """
    is_synthetic = source == 1
    num_synthetic, num_real = int(is_synthetic.sum()), int((~is_synthetic).sum())
    if num_synthetic == 0 or num_real == 0:
        return np.full(len(source), 1 / max(len(source), 1))
    return np.where(is_synthetic, synthetic_fraction / num_synthetic, (1 - synthetic_fraction) / num_real)


def mean_epsilon(epsilons: NDArray[np.float32], source: NDArray[np.uint8], synthetic_fraction: float) -> float:
    """Return the mean signed epsilon over the rows as training draws them."""
    return float(draw_weights(source, synthetic_fraction) @ epsilons.astype(np.float64))
