"""Settings of training curves: runs, one of them dashed."""

from __future__ import annotations

from typing import ClassVar, Literal

from pumalib.reporting.checks import expect_one_dataset
from pumalib.reporting.needs import needs_of_runs
from pumalib.reporting.report_settings import Names, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name


class TrainingCurvesSettings(ReportSettings):
    """A figure of clean and robust accuracy against images seen, one line per run, from the histories of training."""

    section: ClassVar[Section] = "Training and cost"
    is_of_trainings: ClassVar[bool] = True

    kind: Literal["training_curves"] = "training_curves"
    """Which report this is."""
    runs: Names
    """Runs of the figure, in this order."""
    baseline: Name | None = None
    """Run drawn dashed; it need not be among `runs`; null: none."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse runs of several datasets."""
        expect_one_dataset(self, study, where)

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the history of each run and seed."""
        return needs_of_runs(self, study, files.history)
