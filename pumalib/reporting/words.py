"""What reports say of how their intervals were made."""

from __future__ import annotations

import math

from pumalib.reporting.estimates import Interval
from pumalib.reporting.statistics import NO_INTERVAL


def design_sentence(test_to_train: float | None) -> str:
    """Return what intervals hold for: seeds and test images together, or splits that overlap."""
    if test_to_train is None:
        return (
            "All seeds are measured on the same images. Intervals cover two sources of variance: the seeds and the "
            "images (crossed random effects). They say nothing of what all seeds have in common."
        )
    return (
        "Each seed has a split of its own, and the splits overlap. The variance over seeds is therefore multiplied by "
        f"1/S + {test_to_train:.3g} instead of 1/S, S seeds (Nadeau and Bengio 2003)."
    )


def difference_cell(difference: float, interval: Interval, mark: str = "") -> str:
    """Return a difference of shares in points with its interval; a dash for none."""
    if math.isnan(difference):
        return "-"
    points = f"{100 * difference:+z.2f}"
    if math.isnan(interval.low):
        return f"{points} [{NO_INTERVAL}]"
    return f"{points}{mark} [{100 * interval.low:z.2f}, {100 * interval.high:z.2f}]"
