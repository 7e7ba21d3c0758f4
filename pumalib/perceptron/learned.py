"""What students return: weights, and whether each is the solution that was asked for."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Word = Literal["yes", "no", "infeasible"]
"""`no`: the steps ended before the tolerance was reached. `infeasible`: there is no solution."""


class Learned(NamedTuple):
    """The students of A numbers of rows and P curves.

    Attributes:
        weights: [A, K, P]; nan where there is no solution.
        converged: [A, P], a `Word` each.
    """

    weights: Tensor
    converged: NDArray[np.str_]


def as_words(is_converged: NDArray[np.bool_]) -> NDArray[np.str_]:
    """Return `yes` or `no` for each, in the same shape."""
    return np.where(is_converged, "yes", "no")
