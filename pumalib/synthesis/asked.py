"""What margins a set was asked to have, in the margins of another model than the one that conditioned its generator.

A generator knows no margins but quantiles among its train rows (`synthesis.margins`). So what is asked carries over to
another model by the quantile: the band of its own margins that as large a share of the train rows lies below.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError


class Band(NamedTuple):
    """What was asked."""

    first: float
    """Share of the train rows whose margin, by the model that conditioned, is smaller than any asked for."""
    last: float
    """Share of the train rows whose margin is smaller than the bound from above."""
    low: float
    """Margin by the other model that the first share of the train rows lies below; -inf where it is 0."""
    high: float
    """The same of the last share; inf where it is 1."""

    def share_of(self, margins: NDArray[np.float32]) -> float:
        """Return the share of margins [M] by the other model that are at least `low` and below `high`."""
        return float(((margins >= self.low) & (margins < self.high)).mean())


def band_of(
    above: float | None,
    below: float | None,
    conditioning: NDArray[np.float32],
    others: NDArray[np.float32],
) -> Band:
    """Return what was asked as quantiles of the train rows, and as margins by another model.

    Args:
        above: smallest margin asked for; None: no bound.
        below: margin below which all lie; None: no bound.
        conditioning: margins of the train rows by the model that conditioned the generator, [N], none of them nan.
        others: margins of the train rows by the other model, [K].

    Raises:
        DataError: no margin of a train row.
    """
    if not len(conditioning) or not len(others):
        raise DataError(
            f"expected margins of train rows by both models, got {len(conditioning)} and {len(others)}; score the pools"
        )
    ordered = np.sort(conditioning)
    first = 0.0 if above is None else float(np.searchsorted(ordered, above, "left") / len(ordered))
    last = 1.0 if below is None else float(np.searchsorted(ordered, below, "left") / len(ordered))
    low, high = np.quantile(others.astype(np.float64), (first, last))
    return Band(first, last, float(low) if first > 0 else -np.inf, float(high) if last < 1 else np.inf)
