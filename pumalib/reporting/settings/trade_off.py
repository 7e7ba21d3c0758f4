"""Settings of a trade-off: runs, the attack on them, and frontiers of a knob."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from pumalib.reporting.checks import expect_one_dataset, expect_one_split, expect_perturbing
from pumalib.reporting.needs import needs_of_results
from pumalib.reporting.report_settings import Names, Needs, ReportSettings, SeveralNames
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name


class TradeOffSettings(ReportSettings):
    """A figure of clean accuracy against robust accuracy, one point a run."""

    section: ClassVar[Section] = "Accuracy"

    kind: Literal["trade_off"] = "trade_off"
    """Which report this is."""
    runs: Names | None = None
    """Runs of the figure; null: all runs of the results. The baseline is always drawn."""
    baseline: Name
    """Run that is marked, with lines through its point."""
    attack: Name
    """Attack whose robust accuracy is drawn."""
    frontiers: dict[Name, SeveralNames] = Field(default_factory=dict)
    """Runs of one knob, by label, such as the baseline over epsilon: a line goes through their points."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse an attack that leaves out a run, and runs of several datasets."""
        expect_perturbing(self, study, self.attack, f"{where}.attack")
        expect_one_dataset(self, study, where)
        expect_one_split(self, study, where)

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the results of its runs."""
        return needs_of_results(self, study, files)
