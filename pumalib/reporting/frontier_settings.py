"""What the settings of figures with frontiers share: a baseline, an attack, and runs that a line goes through."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, WithJsonSchema

from pumalib.reporting.checks import expect_one_dataset, expect_one_split, expect_perturbing
from pumalib.reporting.report_settings import Names, ReportSettings, SeveralNames
from pumalib.reporting.study_view import StudyView
from pumalib.setting_errors import NAME_PATTERN
from pumalib.settings import Name

_SeveralRuns = Annotated[
    SeveralNames,
    WithJsonSchema({"items": {"pattern": NAME_PATTERN, "type": "string"}, "minItems": 1, "type": "array"}),
]
"""Two or more runs; a file may write the one name of a sweep for them."""


class FrontierReportSettings(ReportSettings):
    """A figure of robust accuracy against something else, one point per run."""

    runs: Names | None = None
    """Runs of the figure; null: all that it can show. The baseline is always drawn."""
    baseline: Name
    """Run that the others are held against."""
    attack: Name
    """Attack whose robust accuracy is drawn."""
    frontiers: dict[Name, _SeveralRuns] = Field(default_factory=dict)
    """Runs of one knob, by label, such as the baseline over epsilon: a line goes through their points."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse an attack that leaves out a run, and runs of several datasets."""
        expect_perturbing(self, study, self.attack, f"{where}.attack")
        expect_one_dataset(self, study, where)
        expect_one_split(self, study, where)
