"""Settings of cuts and epsilons. Imports neither torch nor NumPy."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

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


class FixedEpsilon(Settings):
    """One epsilon for all rows."""

    policy: Literal["fixed"] = "fixed"
    epsilon: PositiveAmount | None = None
    """Radius on the pixel scale; none: the threat's."""


class _FromMargin(Settings):
    score: Name
    """Margin score under `scores`, in the threat's norm."""
    gap: Amount = Field(default=0.0, ge=0)
    """Subtracted from each margin, pixel scale (PUMA eq. 3)."""
    cap: PositiveAmount | None = None
    """Bound on |epsilon|, pixel scale (PUMA Table 5); none: the threat's epsilon."""
    negative: Literal["anti_adversarial", "zero", "drop"] = "anti_adversarial"
    """Rows with a negative epsilon: descend the loss (PUMA), no perturbation, or leave the row out."""


class MarginEpsilon(_FromMargin):
    """PUMA: each row's epsilon is its margin, bounded (eq. 2 and 3)."""

    policy: Literal["margin"]


class MeanOfMarginEpsilon(_FromMargin):
    """Control: the mean epsilon PUMA would give over the rows as drawn, for every row."""

    policy: Literal["mean_of_margin"]


class ShuffledMarginEpsilon(_FromMargin):
    """Control: PUMA's epsilons, permuted among the kept rows of one class and source."""

    policy: Literal["shuffled_margin"]


EpsilonSettings = Annotated[
    FixedEpsilon | MarginEpsilon | MeanOfMarginEpsilon | ShuffledMarginEpsilon, Field(discriminator="policy")
]
