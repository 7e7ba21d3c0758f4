"""Settings of margins by class: a margin score."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pumalib.reporting.checks import expect_margin_score, expect_whole_scores
from pumalib.reporting.needs import drawn_seed
from pumalib.reporting.report_settings import OF_SEED, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name


class MarginClassesSettings(ReportSettings):
    """Histograms of the margins of a score by class and source."""

    section: ClassVar[Section] = "Margins and images"

    kind: Literal["margin_classes"] = "margin_classes"
    """Which report this is."""
    score: Name
    """Score whose margins are drawn."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed whose score table is drawn; null: the first seed of the study."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse a score that is no margin, or stops at a distance."""
        expect_margin_score(study, self.score, f"{where}.score")
        expect_whole_scores(study, self.score, f"{where}.score")

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the score, its pool, and the threat's epsilon."""
        seed, name = drawn_seed(study, self.seed), study.score_pool(self.score)
        score, pool = files.score(self.score, seed), files.pool(name, seed)
        arguments = {"score": score, "pool": pool, "epsilon": study.settings.threat.epsilon, OF_SEED: seed}
        return Needs([score, pool, *files.pool_sources(name, seed)], arguments)
