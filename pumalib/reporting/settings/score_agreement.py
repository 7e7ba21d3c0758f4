"""Settings of an agreement of scores: scores of one pool, and how many rows they keep."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from pumalib.reporting.checks import expect_same_pool, expect_whole_scores
from pumalib.reporting.report_settings import Needs, ReportSettings, SeveralNames
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView


def _refuse_repeated_fractions(fractions: tuple[float, ...]) -> tuple[float, ...]:
    if len(set(fractions)) != len(fractions):
        raise ValueError(f"expected each fraction once, got {list(fractions)}")
    return fractions


Fractions = Annotated[
    tuple[Annotated[float, Field(gt=0, lt=1)], ...], Field(min_length=1), AfterValidator(_refuse_repeated_fractions)
]
"""Shares of rows, each once."""


class ScoreAgreementSettings(ReportSettings):
    """Rank correlations of the scores of one pool, and overlaps of the rows that they keep."""

    section: ClassVar[Section] = "Margins and images"

    kind: Literal["score_agreement"] = "score_agreement"
    """Which report this is."""
    scores: SeveralNames
    """Two or more scores of one pool; each is held against each other, and the first is drawn against each."""
    keep: Literal["easiest", "hardest"] = "easiest"
    """Which rows a score keeps where overlaps are counted."""
    fractions: Fractions = (0.1, 0.3, 0.5, 0.7, 0.9)
    """Shares of rows kept where overlaps are counted."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed that is drawn; null: the first seed of the study. The numbers are of all seeds."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse scores that are not there, stop at a distance, or are of several pools."""
        for index, score in enumerate(self.scores):
            study.expect("score", score, f"{where}.scores[{index}]")
            expect_whole_scores(study, score, f"{where}.scores[{index}]")
            expect_same_pool(study, score, self.scores[0], f"{where}.scores[{index}]")

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the pool and the scores with each seed."""
        name = study.score_pool(self.scores[0])
        inputs, entries = [], []
        for seed in study.settings.seeds:
            pool, scores = files.pool(name, seed), [files.score(score, seed) for score in self.scores]
            inputs += [pool, *files.pool_sources(name, seed), *scores]
            entries.append({"seed": seed, "pool": pool, "scores": scores})
        return Needs(inputs, {"files": entries})
