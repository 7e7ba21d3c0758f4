"""Settings of cuts and epsilons. Imports neither torch nor NumPy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.settings import Amount, Name, NameOrNames, PixelAmount, PixelAmountOrZero, Settings, UserObject
from pumalib.training.online.settings import OnlineEpsilonSettings

THRESHOLDS = ("below", "at_most", "at_least", "above")
RANDOM = "random"


class CutSettings(Settings):
    """One pruning step along a score. Every cut looks at the whole pool; the union of all cuts is removed."""

    by: Name
    """Name under `scores`, or `random`."""
    drop: Literal["easiest", "hardest", "extremes"] | None = None
    """Which side goes; needed with `fraction`, except for `random`. `extremes`: half from each end (Moderate)."""
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
    ties_by: Name | None = None
    """Score under `scores` that decides among rows of equal score where a `fraction` cuts; none: they are drawn."""

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
            raise ValueError("expected drop: easiest, hardest or extremes beside fraction")
        if self.drop == "extremes" and given != ["fraction"]:
            raise ValueError(f"expected a fraction with drop: extremes, got {given[0]}")
        if self.ties_by is not None and (self.by == RANDOM or given != ["fraction"]):
            raise ValueError("expected ties_by only with a fraction of a score: no other cut has ties to break")
        if self.ties_by in (self.by, RANDOM):
            raise ValueError(f"expected another score than {self.by} as ties_by, got {self.ties_by}; leave it out")
        return self

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores it reads."""
        return tuple(name for name in (self.by, self.ties_by) if name not in (None, RANDOM))


class CcsSettings(Settings):
    """Coverage-centric coreset selection (Zheng et al. 2023): as many rows from each stratum of a score as it has."""

    rule: Literal["ccs"]
    """`ccs`."""
    by: Name
    """Name under `scores`; every row needs a score."""
    fraction: float = Field(ge=0, lt=1)
    """Share of the rows to remove, the hardest ones among them."""
    hardest: float = Field(default=0.0, ge=0, lt=1)
    """Share of the rows that goes first: the hardest, which may be mislabelled (the authors' beta)."""
    strata: int = Field(default=50, gt=0)
    """Intervals of equal width between the lowest and the highest score left."""

    @model_validator(mode="after")
    def _check(self) -> CcsSettings:
        if self.hardest > self.fraction:
            raise ValueError(f"expected hardest of at most the fraction {self.fraction:g}, got {self.hardest:g}")
        return self

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores it reads."""
        return (self.by,)

    @property
    def options(self) -> dict[str, float | int | str | bool]:
        """What the rule gets beside the rows."""
        return {"hardest": self.hardest, "strata": self.strata}


class OwnRuleSettings(Settings):
    """A pruning rule of one's own, `module:function`: it sees all rows at once and returns those to keep."""

    rule: UserObject
    """`module:function`, called as `function(rows, **options)`; returns the `rows.count` rows to keep."""
    by: NameOrNames | None = None
    """Name under `scores`, or a list of them, whose tables it gets as `rows.scores`; none: it reads no score."""
    fraction: float = Field(ge=0, lt=1)
    """Share of the rows to remove."""
    options: dict[str, float | int | str | bool] = Field(default_factory=dict)
    """Keyword arguments of the function."""

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores it reads."""
        return self.by or ()


def _kind_of_cut(value: Any) -> str:
    rule = value.get("rule") if isinstance(value, dict) else getattr(value, "rule", None)
    if rule is None:
        return "cut"
    return "own" if isinstance(rule, str) and ":" in rule else str(rule)


RuleSettings = CcsSettings | OwnRuleSettings
"""Pruning steps that look at all rows at once."""

PruneSettings = Annotated[
    Annotated[CutSettings, Tag("cut")] | Annotated[CcsSettings, Tag("ccs")] | Annotated[OwnRuleSettings, Tag("own")],
    Discriminator(_kind_of_cut),
]
"""One pruning step: a cut along a score, or a rule."""


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


class _ForSomeRows(Settings):
    where: WhereSettings | None = None
    """The rows this policy is for; none: all."""
    otherwise: PixelAmountOrZero | None = None
    """Epsilon of the rows outside `where`, pixel scale; none: the threat's."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.otherwise is not None and self.where is None:
            raise ValueError("expected otherwise only beside where, got it alone")
        return self

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores it reads: under `score`, where a policy has that, and under `where`."""
        names = (getattr(self, "score", None), None if self.where is None else self.where.score)
        return tuple(name for name in names if name is not None)


class FixedEpsilon(_ForSomeRows):
    """One epsilon for all rows."""

    policy: Literal["fixed"] = "fixed"
    epsilon: PixelAmount | None = None
    """Radius on the pixel scale; none: the threat's."""


class FromMargin(_ForSomeRows):
    """What the policies share whose epsilons come from margins."""

    score: Name
    """Margin score under `scores`, in the threat's norm."""
    gap: PixelAmountOrZero = 0.0
    """Subtracted from each margin, pixel scale (PUMA eq. 3)."""
    cap: PixelAmount | None = None
    """Bound on |epsilon|, pixel scale (PUMA Table 5); none: the threat's epsilon."""
    negative: Literal["anti_adversarial", "zero", "drop"] = "anti_adversarial"
    """Rows with a negative epsilon: descend the loss (PUMA), no perturbation, or leave the row out."""


class MarginEpsilon(FromMargin):
    """PUMA: each row's epsilon is its margin, bounded (eq. 2 and 3)."""

    policy: Literal["margin"] = "margin"


class MeanOfMarginEpsilon(FromMargin):
    """Control: the mean epsilon PUMA would give over the rows as drawn, for every row."""

    policy: Literal["mean_of_margin"] = "mean_of_margin"


class ShuffledMarginEpsilon(FromMargin):
    """Control: PUMA's epsilons, permuted among the kept rows of one class and source."""

    policy: Literal["shuffled_margin"] = "shuffled_margin"


EpsilonSettings = Annotated[
    FixedEpsilon | MarginEpsilon | MeanOfMarginEpsilon | ShuffledMarginEpsilon | OnlineEpsilonSettings,
    Field(discriminator="policy"),
]


class FarSettings(Settings):
    """Attack rows of a large margin with fewer steps while training (ours). Needs `attack_statistics: running`."""

    score: Name
    """Margin score under `scores`, in the threat's norm."""
    beyond: PixelAmount
    """Rows whose margin is above this, pixel scale, are far; misclassified rows never are."""
    steps: int = Field(default=0, ge=0)
    """Steps of the inner attack of far rows, fewer than those of the others; 0: they are trained at their images."""


class RelabelSettings(Settings):
    """Train rows whose label the margin model denies under the class that it gives them; their epsilons are then the
    sizes of what the policy gives."""

    score: Name
    """Margin score under `scores`, in the threat's norm."""
    beyond: PixelAmountOrZero = 0.0
    """Rows whose margin is below minus this, pixel scale; 0: all rows with a negative margin."""


class SelectionSettings(Settings):
    """What a run asks of its selection."""

    prune: tuple[PruneSettings, ...]
    """The pruning steps."""
    epsilon: EpsilonSettings
    """The policy."""
    threat: ThreatSettings
    """Default radius and cap, and the norm margins must be in."""
    synthetic_fraction: float
    """Share of synthetic rows in a batch, for means over the rows as drawn."""
    far: FarSettings | None = None
    """Which rows are attacked with fewer steps; none: all with as many."""
    relabel: RelabelSettings | None = None
    """Which rows are trained under another label; none: all under their own."""
    attack_steps: int | None = None
    """Steps of the inner attack of the other rows, where some are far."""


def scores_read(
    prune: Iterable[PruneSettings], epsilon: EpsilonSettings, *others: FarSettings | RelabelSettings | None
) -> tuple[str, ...]:
    """Return the names of the scores that cuts, a policy, fewer attack steps and new labels read, sorted."""
    names = {name for cut in prune for name in cut.scores} | {other.score for other in others if other is not None}
    if not isinstance(epsilon, OnlineEpsilonSettings):
        names.update(epsilon.scores)
    return tuple(sorted(names))


def policy_module(policy: str) -> str:
    """Return the module of an epsilon policy, by convention."""
    return f"pumalib.selection.policies.{policy}"


def rule_module(settings: RuleSettings) -> str:
    """Return the module of a rule, by convention; of a user's own, that one."""
    own = isinstance(settings, OwnRuleSettings)
    return settings.rule.partition(":")[0] if own else f"pumalib.selection.rules.{settings.rule}"
