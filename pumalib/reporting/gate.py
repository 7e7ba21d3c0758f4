"""The gate: is plain training at the threat beaten in both accuracies by plain training at a smaller epsilon?

Where it is, any policy that lowers the mean epsilon gains both accuracies, and the study tells nothing of margins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np

from pumalib.reporting.outcomes import Outcomes
from pumalib.reporting.results import CLEAN_ACCURACY, Metric, robust_accuracy

ENOUGH_ROWS = 2000
"""Validation rows below which the page says that they are few. A choice of ours."""


class Gain(NamedTuple):
    """What a smaller epsilon gains in one accuracy, as a share, and the standard error of that."""

    value: float
    standard_error: float

    @property
    def is_beyond_error(self) -> bool:
        """Whether the gain is more than one standard error."""
        return self.value > self.standard_error

    @property
    def in_points(self) -> str:
        """Spell it in points."""
        return f"{100 * self.value:+z.2f} ± {100 * self.standard_error:.2f}"


@dataclass(frozen=True)
class Weaker:
    """The same training at a smaller epsilon, against that at the threat."""

    run: str
    clean: Gain
    robust: Gain

    @property
    def dominates(self) -> bool:
        """Whether it is better in both accuracies by more than one standard error each."""
        return self.clean.is_beyond_error and self.robust.is_beyond_error


def weigh(run: str, weaker: Sequence[str], attack: str, outcomes: Outcomes) -> list[Weaker]:
    """Compare each weaker run with the plain one, on the images of an attack."""
    metrics = CLEAN_ACCURACY, robust_accuracy(attack)
    return [Weaker(other, *(_gain(outcomes, other, run, metric) for metric in metrics)) for other in weaker]


def _gain(outcomes: Outcomes, run: str, against: str, metric: Metric) -> Gain:
    difference = outcomes.difference(run, against, metric)
    if difference.has_interval:
        return Gain(difference.value, difference.standard_error)
    return Gain(difference.value, _error_over_images(outcomes, run, against, metric))


def _error_over_images(outcomes: Outcomes, run: str, against: str, metric: Metric) -> float:
    """Return the standard error that the images alone give, for fewer than three seeds: as if there were one seed."""
    one, other = outcomes.of(run, metric), outcomes.of(against, metric)
    differences = [np.float64(one[seed].correct) - other[seed].correct for seed in one]
    return math.sqrt(fmean(float(each.var(ddof=1)) / len(each) for each in differences))


def verdict_sentence(run: str, weighed: Sequence[Weaker], num_rows: int) -> str:
    """Return whether the gate is passed, and by what it is not, as a paragraph of Markdown."""
    found = [each for each in weighed if each.dominates]
    if not found:
        return (
            f"**Gate passed.** No smaller epsilon beats `{run}` in both accuracies by more than one standard error, on "
            f"{num_rows} validation rows per seed."
        )
    worst = max(found, key=lambda each: min(each.clean.value, each.robust.value))
    return (
        f"**Gate failed.** `{worst.run}`, the same training at a smaller epsilon, beats `{run}` in both accuracies: "
        f"{worst.clean.in_points} points clean and {worst.robust.in_points} points robust (± one standard error), on "
        f"{num_rows} validation rows per seed. Any policy that lowers the mean epsilon gains both here, so this study "
        "does not test margins."
    )
