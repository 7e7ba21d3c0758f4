"""Settings of a cost frontier: robust accuracy against what trainings cost."""

from __future__ import annotations

from typing import ClassVar, Literal

from pumalib.reporting.frontier_settings import FrontierReportSettings
from pumalib.reporting.needs import needs_of_results
from pumalib.reporting.report_settings import Needs
from pumalib.reporting.section_settings import Section
from pumalib.reporting.settings.cost import needs_of_costs
from pumalib.reporting.study_view import StudyFiles, StudyView


class CostFrontierSettings(FrontierReportSettings):
    """A figure of robust accuracy against the passes of a training, one point per run; the baseline's is 100 %."""

    section: ClassVar[Section] = "Training and cost"
    is_of_trainings: ClassVar[bool] = True

    kind: Literal["cost_frontier"] = "cost_frontier"
    """Which report this is."""

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the results of its runs, and every part of what they cost."""
        results, costs = needs_of_results(self, study, files), needs_of_costs(self, study, files)
        return Needs([*results.inputs, *costs.inputs], {**results.arguments, **costs.arguments})
