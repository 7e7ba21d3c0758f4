"""Several comparisons on one page, and one that was chosen beforehand: what may be claimed from them.

A page is one family. Its intervals hold jointly (Bonferroni), and its p-values are Holm's step-down ones. A difference
is told where Holm's p-value is below 0.05. Where the joint interval holds 0 all the same, the interval is that of
Holm's step. So an interval leaves out 0 where a difference is told, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from pumalib.reporting.estimates import Estimate, Interval
from pumalib.reporting.statistics import MIN_SEEDS_FOR_CLAIM, NON_INFERIORITY_MARGIN

LEFT_OUT = 0.05
"""What all intervals of a family leave out together, and the level of every test."""

UNDECIDED: Literal["cannot be told"] = "cannot be told"
"""The verdict where an interval decides nothing; no difference that is told is never taken for sameness."""

Direction = Literal["higher", "lower", "cannot be told"]
Key = TypeVar("Key")


@dataclass(frozen=True)
class Compared:
    """One comparison of a family.

    Attributes:
        estimate: of the difference.
        interval: that holds jointly with the others of the family, or that of Holm's step; nan below three seeds.
        joint: that holds jointly in any case, by which non-inferiority is told.
        p_value: Holm's; nan below three seeds.
        is_of_step: whether the interval is that of Holm's step.
    """

    estimate: Estimate
    interval: Interval
    joint: Interval
    p_value: float
    is_of_step: bool = False

    @property
    def direction(self) -> Direction:
        """Whether a difference is told at all, and which; below five seeds none is."""
        if self.estimate.num_seeds < MIN_SEEDS_FOR_CLAIM or not self.p_value < LEFT_OUT:
            return UNDECIDED
        return "higher" if self.estimate.value > 0 else "lower"

    def mirrored(self) -> Compared:
        """Return the same comparison with the two runs exchanged."""
        shown, joint = (Interval(-each.high, -each.low) for each in (self.interval, self.joint))
        return Compared(self.estimate.mirrored(), shown, joint, self.p_value, self.is_of_step)


@dataclass(frozen=True)
class Equivalence:
    """Two one-sided tests of a difference against a margin, each at 5 %.

    Attributes:
        estimate: of the difference.
        margin: share, above 0.
        p_below: against the difference being -margin or less; small: not inferior.
        p_above: against the difference being margin or more.

    Source: Schuirmann 1987 (Journal of Pharmacokinetics and Biopharmaceutics 15).
    """

    estimate: Estimate
    margin: float
    p_below: float
    p_above: float

    @property
    def interval(self) -> Interval:
        """The 90 % interval, which lies within the margins where the tests find equivalence."""
        return self.estimate.interval(2 * LEFT_OUT)

    @property
    def p_equivalent(self) -> float:
        """The larger of the two p-values."""
        return max(self.p_below, self.p_above)

    @property
    def is_non_inferior(self) -> bool:
        """Whether a loss of the margin or more is ruled out; never below five seeds."""
        return self.estimate.num_seeds >= MIN_SEEDS_FOR_CLAIM and self.p_below < LEFT_OUT

    @property
    def is_equivalent(self) -> bool:
        """Whether differences of the margin or more are ruled out both ways; never below five seeds."""
        return self.is_non_inferior and self.p_above < LEFT_OUT

    @property
    def is_inferior(self) -> bool:
        """Whether the loss is shown to be more than the margin; never below five seeds."""
        shown = self.estimate.p_above(-self.margin) < LEFT_OUT
        return self.estimate.num_seeds >= MIN_SEEDS_FOR_CLAIM and shown

    @property
    def is_superior(self) -> bool:
        """Whether the gain is shown to be more than the margin; never below five seeds."""
        return self.estimate.num_seeds >= MIN_SEEDS_FOR_CLAIM and self.estimate.p_below(self.margin) < LEFT_OUT


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down p-values, in the order given; nan stays nan and counts as a comparison.

    Source: Holm 1979 (Scandinavian Journal of Statistics 6).
    """
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for step, place in enumerate(_smallest_first(p_values)):
        if not math.isnan(p_values[place]):
            largest = max(largest, min(1.0, (len(p_values) - step) * p_values[place]))
            adjusted[place] = largest
    return adjusted


def _smallest_first(p_values: Sequence[float]) -> list[int]:
    return sorted(range(len(p_values)), key=lambda place: (math.isnan(p_values[place]), p_values[place]))


def compare_family(estimates: Mapping[Key, Estimate]) -> dict[Key, Compared]:
    """Compare all at once.

    Args:
        estimates: the differences of the family, each once.
    """
    raw = [each.p_value() for each in estimates.values()]
    ranks = {place: step for step, place in enumerate(_smallest_first(raw))}
    compared = {}
    for place, (key, adjusted) in enumerate(zip(estimates, holm(raw), strict=True)):
        compared[key] = _compared(estimates[key], adjusted, len(raw), len(raw) - ranks[place])
    return compared


def _compared(estimate: Estimate, p_value: float, count: int, left: int) -> Compared:
    """Return a comparison whose interval leaves out 0 where the p-value tells a difference."""
    joint = estimate.interval(LEFT_OUT / count)
    if p_value < LEFT_OUT and joint.low <= 0 <= joint.high:
        return Compared(estimate, estimate.interval(LEFT_OUT / left), joint, p_value, is_of_step=True)
    return Compared(estimate, joint, joint, p_value)


def equivalence(estimate: Estimate, margin: float) -> Equivalence:
    """Test a difference for equivalence and for non-inferiority.

    Args:
        estimate: of the difference, a share.
        margin: share, above 0, that counts as no difference.

    Raises:
        ValueError: a margin that is not above 0.
    """
    if not margin > 0:
        raise ValueError(f"expected a margin above 0, got {margin}")
    return Equivalence(estimate, margin, estimate.p_below(-margin), estimate.p_above(margin))


def non_inferior(estimate: Estimate, interval: Interval, margin: float = NON_INFERIORITY_MARGIN) -> str:
    """Return "yes", "no" or "cannot be told" for: not worse than the baseline by `margin` or more.

    "no" needs an interval that lies wholly below -margin. Fewer than five seeds tell nothing, either way.

    Args:
        estimate: of the difference.
        interval: that holds jointly with the family's others.
        margin: share, above 0.
    """
    if estimate.num_seeds < MIN_SEEDS_FOR_CLAIM or math.isnan(interval.low):
        return UNDECIDED
    if interval.low > -margin:
        return "yes"
    return "no" if interval.high < -margin else UNDECIDED
