"""The hard-margin student as non-negative least squares (Lawson and Hanson 1974): a peer for benchmarks and tests."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls


def least_distance(rows: np.ndarray, epsilon: float) -> np.ndarray:
    """Return the hard-margin weights [K] of rows [N, K] at an L-inf epsilon (ch. 23, problem LDP)."""
    matrix = np.hstack([rows - epsilon, -rows - epsilon]) if epsilon else rows
    size, scale = matrix.shape[1], rows.mean(0).max() / 50
    bounds = np.eye(size) if epsilon else np.zeros((size, 0))
    system = np.vstack([np.hstack([matrix.T, bounds]), np.r_[np.full(len(rows), scale), np.zeros(bounds.shape[1])]])
    target = np.eye(1, size + 1, size).ravel()
    left = system @ nnls(system, target, maxiter=100 * system.shape[1])[0] - target
    point = -left[:-1] / left[-1]
    return point[: rows.shape[1]] - point[rows.shape[1] :] if epsilon else point
