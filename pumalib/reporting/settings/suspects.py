"""Settings of suspects: a margin score, and how many rows are drawn."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pumalib.reporting.checks import expect_margin_score
from pumalib.reporting.needs import drawn_seed
from pumalib.reporting.report_settings import OF_SEED, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name


class SuspectsSettings(ReportSettings):
    """The rows whose label the margin model denies, worst first: suspected label errors."""

    section: ClassVar[Section] = "Margins and images"
    is_of_trainings: ClassVar[bool] = True

    kind: Literal["suspects"] = "suspects"
    """Which report this is."""
    score: Name
    """Margin score; a negative margin is a suspect."""
    count: Annotated[int, Field(ge=1, le=60)] = 24
    """How many rows to draw, those with the lowest margins. The CSV has all suspects."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed whose score is drawn; null: the first seed of the study."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse a score that is not there, or is no margin."""
        expect_margin_score(study, self.score, f"{where}.score")

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the score; its pool is found beside it."""
        seed, pool = drawn_seed(study, self.seed), study.score_pool(self.score)
        score = files.score(self.score, seed)
        inputs = [score, files.pool(pool, seed), *files.pool_sources(pool, seed)]
        return Needs(inputs, {"score": score, OF_SEED: seed})
