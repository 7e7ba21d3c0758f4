"""Settings of ratio curves: groups of runs that prune more and more."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pumalib.reporting.checks import expect_one_dataset, expect_one_split, expect_perturbing
from pumalib.reporting.needs import needs_of_results
from pumalib.reporting.report_settings import Names, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.setting_errors import nearest
from pumalib.settings import Name


class RatioCurvesSettings(ReportSettings):
    """A figure of clean and robust accuracy against the pruned fraction, one line per group of runs."""

    section: ClassVar[Section] = "Accuracy"

    kind: Literal["ratio_curves"] = "ratio_curves"
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

    def check(self, study: StudyView, where: str) -> None:
        """Refuse an attack that leaves out a run, runs of several datasets, and lines of models trained elsewhere."""
        for label, runs in self.lines.items():
            for index, run in enumerate(runs):
                study.expect_trained(run, f"{where}.lines.{label}[{index}]")
        expect_perturbing(self, study, self.attack, f"{where}.attack")
        expect_one_dataset(self, study, where)
        expect_one_split(self, study, where)

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the results of its runs."""
        return needs_of_results(self, study, files)
