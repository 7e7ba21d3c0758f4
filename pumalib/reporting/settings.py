"""The settings of a report: one model per kind, told apart by `kind`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pumalib.settings import Name, Settings, nearest


def _refuse_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"expected each name once, got {', '.join(repeated)} more than once")
    return names


Names = Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(_refuse_repeats)]
"""One or more names, each once, in the order in which they are reported."""

SeveralNames = Annotated[tuple[Name, ...], Field(min_length=2), AfterValidator(_refuse_repeats)]
"""Two or more names, each once, in the order in which they are reported."""

Percentage = Annotated[float, Field(ge=0, le=100)]
"""A number in per cent."""


class PublishedNumbers(Settings):
    """What was published for a run; nothing is computed from it."""

    clean_accuracy: Percentage | None = None
    """Published clean accuracy in per cent."""
    robust_accuracy: Percentage | None = None
    """Published robust accuracy in per cent."""


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
    """Attacks whose robust accuracy is shown, in this order; null: all that every run of the report has."""
    published: dict[Name, PublishedNumbers] = Field(default_factory=dict)
    """Published numbers of a run, by run; they stand in columns of their own and enter no computation."""

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
    frontiers: dict[Name, SeveralNames] = Field(default_factory=dict)
    """Runs of one knob, by label, such as the baseline over epsilon: a line goes through their points."""


class MarginHistogramSettings(Settings):
    """A histogram of the margins of a score, by source, with the cuts of a run marked."""

    kind: Literal["margin_histogram"]
    """Which report this is."""
    score: Name
    """Score whose margins are drawn."""
    beside: Name | None = None
    """Second margin score of the same pool, drawn below the first and compared with it; null: none."""
    run: Name | None = None
    """Run whose cuts are marked; null: none."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed whose score table is drawn; null: the first seed of the study."""

    @model_validator(mode="after")
    def _refuse_same_score(self) -> MarginHistogramSettings:
        if self.beside == self.score:
            raise ValueError(f'expected another score than score, got "{self.score}" for both in beside')
        return self


def _refuse_repeated_fractions(fractions: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(fractions)) != len(fractions):
        raise ValueError(f"expected each fraction once, got {list(fractions)}")
    return fractions


Fractions = Annotated[
    tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1), AfterValidator(_refuse_repeated_fractions)
]
"""Shares of rows, each once."""


class MarginClassesSettings(Settings):
    """Histograms of the margins of a score by class and source."""

    kind: Literal["margin_classes"]
    """Which report this is."""
    score: Name
    """Score whose margins are drawn."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed whose score table is drawn; null: the first seed of the study."""


class EpsilonDistributionSettings(Settings):
    """A figure of how epsilons are spread over the rows kept, one line a run."""

    kind: Literal["epsilon_distribution"]
    """Which report this is."""
    runs: Names
    """Runs of the figure, in this order; not those that find their epsilons during training."""


class PrunedRowsSettings(Settings):
    """A contact sheet of the easiest and hardest rows that a run prunes, and of those that it keeps."""

    kind: Literal["pruned_rows"]
    """Which report this is."""
    run: Name
    """Run that prunes."""
    count: Annotated[int, Field(ge=1, le=60)] = 12
    """How many of the easiest, and of the hardest, rows that each cut removed, and of those kept."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed whose selection is drawn; null: the first seed of the study."""


class ScoreAgreementSettings(Settings):
    """Rank correlations of the scores of one pool, and overlaps of the rows that they keep."""

    kind: Literal["score_agreement"]
    """Which report this is."""
    scores: SeveralNames
    """Two or more scores of one pool; each is held against each other, and the first is drawn against each."""
    keep: Literal["easiest", "hardest"] = "easiest"
    """Which rows a score keeps where overlaps are counted."""
    fractions: Fractions = (0.1, 0.3, 0.5, 0.7, 0.9)
    """Shares of rows kept where overlaps are counted."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed that is drawn; null: the first seed of the study. The numbers are of all seeds."""


class NearestNeighboursSettings(Settings):
    """A figure of how near the synthetic images of a pool lie to its real train images."""

    kind: Literal["nearest_neighbours"]
    """Which report this is."""
    pool: Name
    """Pool whose synthetic rows are measured."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed of the pool; null: the first seed of the study."""


class TrainingCurvesSettings(Settings):
    """A figure of clean and robust accuracy against images seen, one line a run, from the histories of training."""

    kind: Literal["training_curves"]
    """Which report this is."""
    runs: Names
    """Runs of the figure, in this order."""
    baseline: Name | None = None
    """Run drawn dashed; it need not be among `runs`; null: none."""


class RatioCurvesSettings(Settings):
    """A figure of clean and robust accuracy against the pruned fraction, one line a group of runs."""

    kind: Literal["ratio_curves"]
    """Which report this is."""
    lines: dict[Name, Names] = Field(min_length=1)
    """Runs of each line, by label."""
    baselines: dict[Name, Name] = Field(default_factory=dict)
    """Run drawn as a horizontal line in the colour of a line, by that line's label."""
    attack: Name
    """Attack whose robust accuracy is drawn."""

    @model_validator(mode="after")
    def _refuse_unknown_labels(self) -> RatioCurvesSettings:
        for label in self.baselines:
            if label not in self.lines:
                raise ValueError(f'expected a label of lines, got "{label}"{nearest(label, self.lines)} in baselines')
        return self


class RobustnessCurvesSettings(Settings):
    """A figure of accuracy against epsilon, one line a run, from one minimum-norm attack."""

    kind: Literal["robustness_curves"]
    """Which report this is."""
    runs: Names
    """Runs of the figure, in this order."""
    baseline: Name | None = None
    """Run drawn dashed; it need not be among `runs`; null: none."""
    attack: Name
    """Attack of method `minimum_norm` whose norms are drawn."""
    up_to: Annotated[float, Field(ge=1)] = 2.0
    """Largest epsilon drawn, in the threat's epsilons."""


class CostSettings(Settings):
    """A table of what runs cost, with everything that they depend on: margin models and margins too."""

    kind: Literal["cost"]
    """Which report this is."""
    runs: Names | None = None
    """Runs of the table, in this order; null: all runs of the study."""
    baseline: Name | None = None
    """Run whose cost is 1; it need not be among `runs`; null: none."""
    seconds: bool = False
    """Also show the seconds of each job, which differ from one run of the workflow to the next."""


ReportSettings = Annotated[
    ComparisonSettings
    | TradeOffSettings
    | MarginHistogramSettings
    | MarginClassesSettings
    | EpsilonDistributionSettings
    | PrunedRowsSettings
    | ScoreAgreementSettings
    | NearestNeighboursSettings
    | TrainingCurvesSettings
    | RatioCurvesSettings
    | RobustnessCurvesSettings
    | CostSettings,
    Field(discriminator="kind"),
]
"""Any report of a study."""
