"""Settings of a contact sheet of pruned rows: a run, and how many rows of each group."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pumalib.errors import ConfigError
from pumalib.reporting.checks import expect_whole_scores
from pumalib.reporting.needs import drawn_seed
from pumalib.reporting.report_settings import OF_SEED, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name


class PrunedRowsSettings(ReportSettings):
    """A contact sheet of the easiest and hardest rows that a run prunes, and of those that it keeps."""

    section: ClassVar[Section] = "Margins and images"
    is_of_trainings: ClassVar[bool] = True

    kind: Literal["pruned_rows"] = "pruned_rows"
    """Which report this is."""
    run: Name
    """Run that prunes."""
    count: Annotated[int, Field(ge=1, le=60)] = 12
    """How many of the easiest, and of the hardest, rows that each cut removed, and of those kept."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed whose selection is drawn; null: the first seed of the study."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse a run that prunes nothing, or whose rows have no known order."""
        from pumalib.selection.needed import prunes  # which no job that makes a report needs

        run = study.trained[self.run]
        if not prunes(run.prune, run.epsilon):
            raise ConfigError(f"expected a run that prunes, got {self.run} at {where}.run")
        for score in run.scores[:1]:  # the one that says which rows are the easiest and the hardest
            expect_whole_scores(study, score, f"{where}.run")

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the selection of the run; its rows, images and scores are found beside it."""
        run, seed = study.trained[self.run], drawn_seed(study, self.seed)
        selection = files.selection(self.run, seed)
        pool = [files.pool(run.pool, seed), *files.pool_sources(run.pool, seed)]
        scores = [files.score(score, seed) for score in run.scores]
        return Needs([selection, *pool, *scores], {"selection": selection, OF_SEED: seed})
