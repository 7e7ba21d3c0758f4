"""Control: the mean epsilon that PUMA would give over the rows as drawn, for every row kept."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.selection.drawn import mean_epsilon
from pumalib.selection.policies.margin import row_epsilons
from pumalib.selection.policies.question import KeptRows

__all__ = ["control", "row_epsilons"]


def control(epsilons: NDArray[np.float32], kept: KeptRows) -> NDArray[np.float32]:
    """Replace PUMA's epsilons of the rows kept, [K], by their mean.

    Raises:
        DataError: a mean of at most 0.
    """
    mean = mean_epsilon(epsilons, kept.source, kept.synthetic_fraction)
    if mean <= 0:
        raise DataError(
            f"expected a mean epsilon above 0 for mean_of_margin, got {mean:.4g}: most margins are negative"
        )
    return np.full_like(epsilons, mean)
