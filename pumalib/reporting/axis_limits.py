"""Axes by the points that they show: one run far off the others, or a wide interval, does not squeeze the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Limits = tuple[float, float]

_SHRINKS_TO = 1 / 3
"""A run stands beyond the axes where they would be this short, or shorter, without it."""
_LEAST_INSIDE, _RUNS_FOR_ONE_OUTSIDE = 3, 4
"""Runs that stay inside, and of how many runs one may stand beyond the axes."""
_MOST_OF_POINTS = 3.0
"""How far an axis of differences follows intervals: this many times the farthest point."""


def runs_far_off(points: Mapping[str, NDArray[np.float64]], kept: Sequence[str] = ()) -> list[str]:
    """Return the runs that lie so far off the others that the axes would be about them alone.

    Args:
        points: [N, 2] points of each run.
        kept: runs that stay inside whatever happens.
    """
    inside, outside = dict(points), list[str]()
    while len(inside) > _LEAST_INSIDE and len(outside) < len(points) // _RUNS_FOR_ONE_OUTSIDE:
        spans = {run: _span(inside, run) for run in inside if run not in kept}
        whole = _span(inside)
        shares = {run: float(np.min(span[whole > 0] / whole[whole > 0], initial=1.0)) for run, span in spans.items()}
        farthest = min(shares, key=lambda run: shares[run], default=None)
        if farthest is None or shares[farthest] > _SHRINKS_TO:
            break
        outside.append(farthest)
        del inside[farthest]
    return outside


def _span(points: Mapping[str, NDArray[np.float64]], without: str | None = None) -> NDArray[np.float64]:
    together = np.concatenate([each for run, each in points.items() if run != without])
    return np.asarray(np.ptp(together, axis=0))


def limits_of(values: NDArray[np.float64], margin: float = 0.12) -> Limits:
    """Return the limits of an axis over some values [N], with room at both ends."""
    low, high = float(np.min(values)), float(np.max(values))
    room = margin * (high - low) or max(1e-3 * abs(low), 1e-3)
    return low - room, high + room


def limits_of_differences(means: Sequence[float], ends: Sequence[float]) -> Limits:
    """Return limits around 0 that hold every mean, and the ends of intervals that are not far beyond them.

    Args:
        means: differences that are shown.
        ends: of their intervals; nan: none.
    """
    farthest = max(map(abs, means), default=0.0)
    reach = [abs(end) for end in ends if np.isfinite(end)]
    wide = max([farthest, *reach])
    limit = min(wide, _MOST_OF_POINTS * farthest) if farthest > 0 else wide
    return -1.08 * limit or -1.0, 1.08 * limit or 1.0
