"""The settings of a report: one model per kind, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pumalib.settings import Name, Settings


def _refuse_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"expected each name once, got {', '.join(repeated)} more than once")
    return names


Names = Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_refuse_repeats)]
"""One or more names, each once, in the order in which they are reported."""


class ComparisonSettings(Settings):
    """A table of runs: means over seeds and differences to a baseline, paired by seed."""

    kind: Literal["comparison"]
    """Which report this is."""
    runs: Names | None = None
    """Runs of the table, in this order; null: all runs of the results."""
    baseline: Name
    """Run that every run is compared with; it need not be among `runs`."""
    control: Name | None = None
    """Second run to compare with, such as the same cut with a constant mean epsilon; null: none."""
    attacks: Names | None = None
    """Attacks whose robust accuracy is shown, in this order; null: all attacks of the results."""

    @model_validator(mode="after")
    def _refuse_same_reference(self) -> ComparisonSettings:
        if self.control == self.baseline:
            raise ValueError(f'expected a control other than the baseline, got "{self.control}" for both')
        return self


class TradeOffSettings(Settings):
    """A figure of clean accuracy against robust accuracy, one point a run."""

    kind: Literal["trade_off"]
    """Which report this is."""
    runs: Names | None = None
    """Runs of the figure; null: all runs of the results. The baseline is always drawn."""
    baseline: Name
    """Run that is marked, with lines through its point."""
    attack: Name
    """Attack whose robust accuracy is drawn."""


class MarginHistogramSettings(Settings):
    """A histogram of the margins of a score, by source, with one run's cut marked."""

    kind: Literal["margin_histogram"]
    """Which report this is."""
    score: Name
    """Score whose margins are drawn."""
    run: Name
    """Run whose cut is marked."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed whose score table is drawn; null: the first seed of the study."""


class NearestNeighboursSettings(Settings):
    """A figure of how near the synthetic images of a pool lie to its real train images."""

    kind: Literal["nearest_neighbours"]
    """Which report this is."""
    pool: Name
    """Pool whose synthetic rows are measured."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed of the pool; null: the first seed of the study."""


ReportSettings = Annotated[
    ComparisonSettings | TradeOffSettings | MarginHistogramSettings | NearestNeighboursSettings,
    Field(discriminator="kind"),
]
"""Any report of a study."""
