"""How far a student is from its teacher. Imports no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def angle_errors(weights: NDArray[np.floating], teacher: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return arccos(R) / pi for the overlap R of each student with the teacher: its error on unpruned inputs.

    It comes from the part of w across the teacher, which keeps its digits where R is nearly 1. A student whose weights
    are 0 knows nothing: R = 0.

    Args:
        weights: [..., K, P].
        teacher: [K], of norm 1.

    Returns:
        [..., P], in [0, 1].
    """
    exact = np.asarray(weights, np.float64)
    along = np.einsum("...kp,k->...p", exact, teacher)
    across = np.linalg.norm(exact - along[..., None, :] * teacher[:, None], axis=-2)
    angles = np.arctan2(across, along) / np.pi
    return np.where((across == 0) & (along == 0), 0.5, angles)


def one_minus_overlap(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 - R for angle errors arccos(R) / pi, in [0, 2]."""
    return np.asarray(2 * np.sin(np.pi * angles / 2) ** 2, np.float64)
