"""Adversarial training of a linear student, to its minimum: the robust logistic loss is convex. Imports no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from pumalib.errors import DataError


def learn_adversarially(rows: NDArray[np.float64], epsilon: float) -> NDArray[np.float64]:
    """Return the weights [K] that minimise the mean of ``log(1 + exp(epsilon ||w||_1 - w.(y x)))``.

    With w = u - v for u, v >= 0 and ||w||_1 replaced by the sum of u and v the loss is smooth, and least where one of
    each two is 0: L-BFGS-B finds weights that are exactly 0.

    Args:
        rows: [N, K], signed.
        epsilon: at least 0.

    Raises:
        DataError: there is no minimum, because some weights have every row right under attack, or none was found.
    """
    stacked = np.concatenate([rows, -rows], axis=1)

    def loss(parts: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        lacking = epsilon * parts.sum() - stacked @ parts
        pull = expit(lacking) / len(rows)
        return float(np.logaddexp(0, lacking).mean()), epsilon * pull.sum() - pull @ stacked

    options = {"maxiter": 5000, "maxfun": 20_000, "ftol": 1e-14, "gtol": 1e-8}
    bounds = [(0, None)] * stacked.shape[1]
    found = minimize(loss, np.zeros(stacked.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    is_separable = bool((stacked @ found.x > epsilon * found.x.sum()).all())
    if is_separable or not found.success:
        reason = "every row right under attack" if is_separable else found.message
        raise DataError(
            f"expected adversarial training at epsilon {epsilon:g} to have a minimum, got: {reason}; give more rows or "
            "a noisier robust feature"
        )
    ups, downs = np.split(found.x, 2)
    return np.asarray(ups - downs)
