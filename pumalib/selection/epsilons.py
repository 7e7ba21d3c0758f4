"""Per-row epsilons: PUMA's policy and the controls it must be compared with."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pumalib.errors import DataError
from pumalib.randomness import numpy_generator


def adaptive_epsilons(margin: ArrayLike, epsilon: float, gap: float = 0.0) -> NDArray[np.float32]:
    """Bound each row's epsilon by its margin: ``clip(m_i - gap, -epsilon, epsilon)``.

    Args:
        margin: [N] signed margins, pixel scale, in the norm of the threat.
        epsilon: largest size of an epsilon, pixel scale, above 0.
        gap: allowance for the error of the margin, pixel scale, at least 0.

    Returns:
        [N] float32, pixel scale. It is negative where the model is wrong by more than the gap: training then moves the
        image toward its label (an anti-adversarial perturbation).

    Raises:
        DataError: a margin is NaN.
        ValueError: epsilon is not above 0, or the gap is negative.

    Source: PUMA, equations 2 and 3.

    Example:
        >>> [round(float(epsilon), 3) for epsilon in adaptive_epsilons([-0.5, 0.01, 0.2], epsilon=0.1)]
        [-0.1, 0.01, 0.1]
    """
    margins = np.asarray(margin, np.float64)
    if not epsilon > 0 or gap < 0:
        raise ValueError(f"expected epsilon above 0 and gap of at least 0, got {epsilon} and {gap}")
    if np.isnan(margins).any():
        raise DataError(f"expected margins without NaN, got {int(np.isnan(margins).sum())}")
    return np.clip(margins - gap, -epsilon, epsilon).astype(np.float32)


def shuffle_within(
    epsilons: NDArray[np.float32], labels: NDArray[np.int64], source: NDArray[np.uint8], seed: int
) -> NDArray[np.float32]:
    """Permute epsilons among the rows of one class and one source."""
    generator = numpy_generator(seed, "shuffled epsilons")
    shuffled = epsilons.copy()
    keys = labels * 2 + source
    for key in np.unique(keys):
        rows = np.flatnonzero(keys == key)
        shuffled[rows] = epsilons[generator.permutation(rows)]
    return shuffled
