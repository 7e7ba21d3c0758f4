"""Settings of a trade-off: runs, the attack on them, and frontiers of a knob."""

from __future__ import annotations

from typing import ClassVar, Literal

from pumalib.reporting.frontier_settings import FrontierReportSettings
from pumalib.reporting.needs import needs_of_results
from pumalib.reporting.report_settings import Needs
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView


class TradeOffSettings(FrontierReportSettings):
    """A figure of clean accuracy against robust accuracy, one point per run, with lines through the baseline's."""

    section: ClassVar[Section] = "Accuracy"

    kind: Literal["trade_off"] = "trade_off"
    """Which report this is."""

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the results of its runs."""
        return needs_of_results(self, study, files)
