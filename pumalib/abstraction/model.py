"""The model of Tsipras et al. 2019 and its accuracies in closed form. Imports no torch.

Without a bias, a student sees inputs x and labels y only as y x: "signed rows" below.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from pumalib.abstraction.settings import AbstractionSettings
from pumalib.randomness import numpy_generator


def draw_signed_rows(settings: AbstractionSettings, seed: int) -> NDArray[np.float64]:
    """Draw rows y x, [N, 1 + d], the robust feature first."""
    random, robust = numpy_generator(seed, "abstraction"), settings.robust
    rows = random.standard_normal((settings.num_rows, 1 + settings.num_weak))
    is_right = random.random(settings.num_rows) < robust.probability
    rows[:, 0] = np.where(is_right, robust.mean, -robust.mean) + robust.deviation * rows[:, 0]
    rows[:, 1:] += settings.weak_mean
    return rows


def accuracy(weights: NDArray[np.float64], settings: AbstractionSettings, epsilon: float) -> float:
    """Return the exact probability that sign(w.x) is y under the worst L-inf perturbation of at most epsilon.

    The worst perturbation lowers y w.x by epsilon ||w||_1. Given whether the robust feature has the label's sign, y w.x
    is Gaussian, so that the probability is a mean of two normal distribution functions.

    Args:
        weights: [1 + d], the robust feature first.
        settings: the model.
        epsilon: at least 0; 0 gives clean accuracy.
    """
    robust, weak = settings.robust, weights[1:]
    deviation = float(np.hypot(robust.deviation * weights[0], np.linalg.norm(weak)))
    rest = settings.weak_mean * weak.sum() - epsilon * np.abs(weights).sum()
    right, wrong = (_probability_above_0(rest + sign * robust.mean * weights[0], deviation) for sign in (1, -1))
    return robust.probability * right + (1 - robust.probability) * wrong


def _probability_above_0(mean: float, deviation: float) -> float:
    return float(ndtr(mean / deviation)) if deviation > 0 else float(mean > 0)


def weak_weight_share(weights: NDArray[np.float64]) -> float:
    """Return the share of the weights' L1 norm that lies on weak features; 0 where all weights are 0."""
    whole = float(np.abs(weights).sum())
    return float(np.abs(weights[1:]).sum()) / whole if whole > 0 else 0.0


def weak_mean_norm(rows: NDArray[np.float64]) -> float:
    """Return the L2 norm of the class mean of signed rows [N, 1 + d] over the weak features."""
    return float(np.linalg.norm(rows[:, 1:].mean(0)))
