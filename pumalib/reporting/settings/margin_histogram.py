"""Settings of a histogram of margins: a margin score, one to draw beside it, and a run whose cuts are marked."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from pumalib.errors import ConfigError
from pumalib.reporting.checks import expect_margin_score, expect_same_pool, expect_whole_scores
from pumalib.reporting.needs import drawn_seed
from pumalib.reporting.report_settings import OF_SEED, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.selection.settings import CutSettings
from pumalib.settings import Name


class MarginHistogramSettings(ReportSettings):
    """A histogram of the margins of a score, by source, with the cuts of a run marked."""

    section: ClassVar[Section] = "Margins and images"
    is_of_trainings: ClassVar[bool] = True

    kind: Literal["margin_histogram"] = "margin_histogram"
    """Which report this is."""
    score: Name
    """Score whose margins are drawn."""
    beside: Name | None = None
    """Second margin score of the same pool, drawn below the first and compared with it; null: none."""
    run: Name | None = None
    """Run whose cuts are marked; null: none."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed whose score table is drawn; null: the first seed of the study."""

    @model_validator(mode="after")
    def _refuse_same_score(self) -> MarginHistogramSettings:
        if self.beside == self.score:
            raise ValueError(f'expected another score than score, got "{self.score}" for both in beside')
        return self

    def check(self, study: StudyView, where: str) -> None:
        """Refuse scores that are no whole margins or differ in pool or norm, and a run of another pool."""
        expect_margin_score(study, self.score, f"{where}.score")
        expect_whole_scores(study, self.score, f"{where}.score")
        pool = study.score_pool(self.score)
        if self.run is not None and study.trained[self.run].pool != pool:
            raise ConfigError(f"expected a run of pool {pool}, got {self.run} at {where}.run")
        if self.beside is None:
            return
        expect_margin_score(study, self.beside, f"{where}.beside")
        expect_whole_scores(study, self.beside, f"{where}.beside")
        expect_same_pool(study, self.beside, self.score, f"{where}.beside")
        norm, other = _norm(study, self.score), _norm(study, self.beside)
        if other != norm:
            raise ConfigError(
                f"expected margins in norm {norm}, as {self.score} has, got {other} from score {self.beside} "
                f"at {where}.beside"
            )

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the scores and their pool, the selection and cuts of the run, and the threat's epsilon."""
        seed, name = drawn_seed(study, self.seed), study.score_pool(self.score)
        drawn = [self.score] if self.beside is None else [self.score, self.beside]
        scores, pool = [files.score(score, seed) for score in drawn], files.pool(name, seed)
        selection = None if self.run is None else files.selection(self.run, seed)
        cuts = () if self.run is None else study.trained[self.run].prune
        arguments = {
            "scores": scores,
            "pool": pool,
            "selection": selection,
            "cut_by": [cut.by if isinstance(cut, CutSettings) else "" for cut in cuts],
            "epsilon": study.settings.threat.epsilon,
            OF_SEED: seed,
        }
        selections = [] if selection is None else [selection]
        return Needs([*scores, pool, *files.pool_sources(name, seed), *selections], arguments)


def _norm(study: StudyView, score: str) -> str:
    return getattr(study.settings.scores[score], "norm", None) or study.settings.threat.norm
