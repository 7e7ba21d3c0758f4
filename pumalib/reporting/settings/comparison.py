"""Settings of a comparison: runs, what they are compared with, and published numbers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pumalib.errors import ConfigError
from pumalib.reporting.checks import expect_one_dataset, expect_one_split, expect_perturbing
from pumalib.reporting.needs import needs_of_results, primary_contrast, split_of_report
from pumalib.reporting.report_settings import Names, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name, Settings

Percentage = Annotated[float, Field(ge=0, le=100)]
"""A number in per cent."""


class PublishedNumbers(Settings):
    """What was published for a run; nothing is computed from it."""

    clean_accuracy: Percentage | None = None
    """Published clean accuracy in per cent."""
    robust_accuracy: Percentage | None = None
    """Published robust accuracy in per cent."""


class ComparisonSettings(ReportSettings):
    """A table of runs: means over seeds and differences to a baseline, paired by seed."""

    section: ClassVar[Section] = "Accuracy"

    kind: Literal["comparison"] = "comparison"
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

    def check(self, study: StudyView, where: str) -> None:
        """Refuse attacks that leave out a run, published numbers of others, and runs of several datasets."""
        for index, attack in enumerate(self.attacks or ()):
            expect_perturbing(self, study, attack, f"{where}.attacks[{index}]")
        for run in self.published:
            if self.runs is not None and run not in self.runs:
                raise ConfigError(
                    f"expected published numbers of a run of the table, got {run} at {where}.published; add it to runs"
                )
        expect_one_dataset(self, study, where)
        expect_one_split(self, study, where)

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the results of its runs, and the study's primary contrast."""
        split = split_of_report(study, self.runs_needed(study), self.named_attacks())
        primary = primary_contrast(study)
        return needs_of_results(self, study, files, primary=primary, split=split)
