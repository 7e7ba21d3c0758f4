"""Settings of cuts and epsilons. Imports neither torch nor NumPy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from pumalib.settings import Amount, Name, PositiveAmount, Settings

THRESHOLDS = ("below", "at_most", "at_least", "above")
RANDOM = "random"


class CutSettings(Settings):
    """One pruning step. Every cut looks at the whole pool; the union of all cuts is removed."""

    by: Name
    """Name under `scores`, or `random`."""
    drop: Literal["easiest", "hardest"] | None = None
    """Which side goes; needed with `fraction`, except for `random`."""
    fraction: float | None = Field(default=None, ge=0, lt=1)
    """Share of the rows of the scope to remove."""
    below: Amount | None = None
    """Remove rows whose score is below this."""
    at_most: Amount | None = None
    """Remove rows whose score is at most this."""
    at_least: Amount | None = None
    """Remove rows whose score is at least this."""
    above: Amount | None = None
    """Remove rows whose score is above this."""
    scope: Literal["union", "per_source", "per_class"] = "union"
    """`union`: one ranking over the pool. Otherwise the fraction goes in each source or class on its own."""

    @model_validator(mode="after")
    def _check(self) -> CutSettings:
        given = [name for name in ("fraction", *THRESHOLDS) if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"expected exactly one of fraction, {', '.join(THRESHOLDS)}, got {', '.join(given) or 'none'}"
            )
        if self.by == RANDOM and given != ["fraction"]:
            raise ValueError(f"expected a fraction with by: random, got {given[0]}")
        if self.by != RANDOM and given == ["fraction"] and self.drop is None:
            raise ValueError("expected drop: easiest or hardest beside fraction")
        return self


class WhereSettings(Settings):
    """The rows a policy is for: those whose score lies on one side of a threshold (PUMA Table 7)."""

    score: Name
    """Any score of the run's pool, under `scores`; rows without a valid score count as outside."""
    below: Amount | None = None
    """Rows whose score is below this."""
    at_most: Amount | None = None
    """Rows whose score is at most this."""
    at_least: Amount | None = None
    """Rows whose score is at least this."""
    above: Amount | None = None
    """Rows whose score is above this."""

    @model_validator(mode="after")
    def _check(self) -> WhereSettings:
        given = [name for name in THRESHOLDS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected exactly one of {', '.join(THRESHOLDS)}, got {', '.join(given) or 'none'}")
        return self

    @property
    def threshold(self) -> tuple[str, float]:
        """Name and value of the threshold that is given."""
        return next((name, value) for name in THRESHOLDS if (value := getattr(self, name)) is not None)


class _ForSomeRows(Settings):
    where: WhereSettings | None = None
    """The rows this policy is for; none: all."""
    otherwise: Amount | None = Field(default=None, ge=0)
    """Epsilon of the rows outside `where`, pixel scale; none: the threat's."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.otherwise is not None and self.where is None:
            raise ValueError("expected otherwise only beside where, got it alone")
        return self

    @property
    def scores(self) -> frozenset[str]:
        """Names of the scores the policy reads."""
        return frozenset() if self.where is None else frozenset({self.where.score})


class FixedEpsilon(_ForSomeRows):
    """One epsilon for all rows."""

    policy: Literal["fixed"] = "fixed"
    epsilon: PositiveAmount | None = None
    """Radius on the pixel scale; none: the threat's."""


class FromMargin(_ForSomeRows):
    """What the policies share whose epsilons come from margins."""

    score: Name
    """Margin score under `scores`, in the threat's norm."""
    gap: Amount = Field(default=0.0, ge=0)
    """Subtracted from each margin, pixel scale (PUMA eq. 3)."""
    cap: PositiveAmount | None = None
    """Bound on |epsilon|, pixel scale (PUMA Table 5); none: the threat's epsilon."""
    negative: Literal["anti_adversarial", "zero", "drop"] = "anti_adversarial"
    """Rows with a negative epsilon: descend the loss (PUMA), no perturbation, or leave the row out."""

    @property
    def scores(self) -> frozenset[str]:
        """Names of the scores the policy reads."""
        return super().scores | {self.score}


class MarginEpsilon(FromMargin):
    """PUMA: each row's epsilon is its margin, bounded (eq. 2 and 3)."""

    policy: Literal["margin"]


class MeanOfMarginEpsilon(FromMargin):
    """Control: the mean epsilon PUMA would give over the rows as drawn, for every row."""

    policy: Literal["mean_of_margin"]


class ShuffledMarginEpsilon(FromMargin):
    """Control: PUMA's epsilons, permuted among the kept rows of one class and source."""

    policy: Literal["shuffled_margin"]


class OnlineMarginEpsilon(Settings):
    """Online PUMA (Sec. 5): epsilons and pruning from each batch's own attack, during training."""

    policy: Literal["online_margin"]
    cap: PositiveAmount | None = None
    """Radius of the one attack, and bound on |epsilon|, pixel scale; none: the threat's epsilon."""
    prune_above: PositiveAmount | None = None
    """Drop a row from its batch if it is still right this far along its perturbation, pixel scale; none: drop none."""
    warmup_epochs: int = Field(default=0, ge=0)
    """Epochs before rows are dropped: a fresh model that drops from the start may not converge (PUMA Table 6)."""
    bisection_steps: int = Field(default=8, gt=0)
    """Halvings of [-cap, cap] in the search for a row's epsilon; each costs a forward."""

    @property
    def scores(self) -> frozenset[str]:
        """Names of the scores the policy reads: none."""
        return frozenset()


class IaatEpsilon(Settings):
    """Instance adaptive adversarial training (Balaji et al. 2019): a row's epsilon moves each time it is drawn."""

    policy: Literal["iaat"]
    step: PositiveAmount | None = None
    """Distance between candidate epsilons, pixel scale; none: 1.9/8 of the threat's epsilon (1.9/255 at 8/255)."""
    smoothing: float = Field(default=0.1, gt=0, le=1)
    """Weight of the candidate chosen against the row's epsilon so far."""
    warmup_epochs: int = Field(default=5, ge=0)
    """Epochs at the starting epsilon: the threat's, or the cap where that is lower."""
    cap: PositiveAmount | None = None
    """Bound on a row's epsilon, pixel scale; none: unbounded, as in the paper."""

    @property
    def scores(self) -> frozenset[str]:
        """Names of the scores the policy reads: none."""
        return frozenset()


OnlineEpsilonSettings = OnlineMarginEpsilon | IaatEpsilon
"""Policies that find epsilons during training; the selection holds where they start."""

EpsilonSettings = Annotated[
    FixedEpsilon | MarginEpsilon | MeanOfMarginEpsilon | ShuffledMarginEpsilon | OnlineEpsilonSettings,
    Field(discriminator="policy"),
]


def read_online(settings: Mapping[str, Any]) -> OnlineEpsilonSettings | None:
    """Read what a rule's params spell: the settings of an online policy, or nothing for any other."""
    if not settings:
        return None
    adapter: TypeAdapter[OnlineEpsilonSettings] = TypeAdapter(
        Annotated[OnlineEpsilonSettings, Field(discriminator="policy")]
    )
    return adapter.validate_python(settings)
