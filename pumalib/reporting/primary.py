"""The primary contrast: two one-sided tests against the margin that the study named, and their verdict in words."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pumalib.reporting.families import LEFT_OUT, Equivalence, equivalence
from pumalib.reporting.outcomes import Outcomes
from pumalib.reporting.results import Metric
from pumalib.reporting.statistics import MIN_SEEDS_FOR_CLAIM, NO_INTERVAL


@dataclass(frozen=True)
class Contrast:
    """The one comparison that was chosen beforehand.

    Attributes:
        run, against: the two runs.
        metric, attack: as `results.csv` has them; attack `none` with clean accuracy.
        margin: share in (0, 1] that counts as no difference.
        split: `test`, or `validation` where the runs are attacked there alone.
    """

    run: str
    against: str
    metric: str
    attack: str
    margin: float
    split: str = "test"

    @property
    def measured(self) -> Metric:
        """The metric with its attack."""
        return Metric(self.metric, self.attack)

    @property
    def title(self) -> str:
        """The contrast in words."""
        return f"`{self.run}` against `{self.against}`, {self.measured.title}"


def settle(contrast: Contrast, outcomes: Outcomes) -> Equivalence:
    """Test the contrast for equivalence and for non-inferiority."""
    return equivalence(outcomes.difference(contrast.run, contrast.against, contrast.measured), contrast.margin)


def verdict(tested: Equivalence) -> str:
    """Return what the tests show, in one word or three; what they do not show is never called the same."""
    if tested.is_equivalent:
        return "equivalent"
    if tested.is_superior:
        return "better"
    if tested.is_non_inferior:
        return "not inferior"
    return "inferior" if tested.is_inferior else "cannot be told"


def verdict_sentence(contrast: Contrast, tested: Equivalence) -> str:
    """Return the verdict, the difference and its interval, as a paragraph of Markdown."""
    margin = f"{100 * contrast.margin:g} points"
    meaning = {
        "equivalent": f"the accuracies differ by less than {margin} either way",
        "better": f"the run gains more than {margin}",
        "not inferior": f"the run does not lose {margin} or more; whether it gains that much cannot be told",
        "inferior": f"the run loses more than {margin}",
        "cannot be told": f"a loss of {margin} is neither shown nor ruled out",
    }
    word = verdict(tested)
    if tested.estimate.num_seeds < MIN_SEEDS_FOR_CLAIM:
        meaning["cannot be told"] = f"fewer than {MIN_SEEDS_FOR_CLAIM} seeds support no claim"
    return (
        f"**Primary contrast: {word}.** {contrast.title}: {difference_words(tested)}. This means: {meaning[word]}. "
        "Every other comparison of the study is exploratory."
    )


def difference_words(tested: Equivalence) -> str:
    """Return the difference in points with its 90 % interval."""
    low, high = tested.interval
    points = f"{100 * tested.estimate.value:+z.2f} points"
    if math.isnan(low):
        return f"{points} ({NO_INTERVAL})"
    return f"{points}, {100 * (1 - 2 * LEFT_OUT):g} % interval [{100 * low:z.2f}, {100 * high:z.2f}]"


def elsewhere_sentence(contrast: Contrast) -> str:
    """Return where the verdict stands, for a page without the two runs."""
    return (
        f"Every comparison here is exploratory. The primary contrast of the study is {contrast.title}; "
        "the report `primary` has its verdict."
    )
