"""Control: PUMA's epsilons, permuted among the rows kept of one class and source."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.randomness import derive_seed
from pumalib.selection.epsilons import shuffle_within
from pumalib.selection.policies.margin import row_epsilons
from pumalib.selection.policies.question import KeptRows

__all__ = ["control", "row_epsilons"]


def control(epsilons: NDArray[np.float32], kept: KeptRows) -> NDArray[np.float32]:
    """Permute PUMA's epsilons of the rows kept, [K]."""
    return shuffle_within(epsilons, kept.labels, kept.source, derive_seed(kept.seed, "control"))
