"""Settings of a page of pictures: a run, a margin, and how many rows."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pumalib.errors import ConfigError
from pumalib.reporting.needs import drawn_seed
from pumalib.reporting.report_settings import OF_SEED, Names, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name


class BrowseSettings(ReportSettings):
    """A web page of every row that a run kept or pruned, as pictures to filter and sort; and what each class loses."""

    section: ClassVar[Section] = "Margins and images"
    is_of_trainings: ClassVar[bool] = True
    writes_page: ClassVar[bool] = True

    kind: Literal["browse"] = "browse"
    """Which report this is."""
    run: Name
    """Run whose selection is shown."""
    score: Name | None = None
    """Score that rows are ordered by; null: the first that the selection reads. All that it reads are shown too."""
    attacks: Names | None = None
    """Attacks on the run, each a tab of its own; null: none."""
    count: Annotated[int, Field(ge=1, le=1_000_000)] = 50_000
    """How many rows at most; of more, a sample in proportion to class, source and what became of them."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed whose selection is shown; null: the first seed of the study."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse a score that is not there or is of another pool, and an attack that leaves the run out."""
        pool = study.trained[self.run].pool
        if self.score is not None:
            study.expect("score", self.score, f"{where}.score")
            if study.score_pool(self.score) != pool:
                raise ConfigError(
                    f"expected a score of pool {pool}, that of {self.run}, got {self.score}, a score of pool "
                    f"{study.score_pool(self.score)}, at {where}.score"
                )
        for index, attack in enumerate(self.attacks or ()):
            study.expect("attack", attack, f"{where}.attacks[{index}]")
            if attack not in study.attacks_of(self.run):
                raise ConfigError(
                    f"expected an attack on {self.run}, got {attack}, which leaves it out, at {where}.attacks[{index}]"
                )

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the selection, the scores and the attacks; pool and images are found beside them."""
        run, seed = study.trained[self.run], drawn_seed(study, self.seed)
        selection = files.selection(self.run, seed)
        pool = [files.pool(run.pool, seed), *files.pool_sources(run.pool, seed)]
        scores = [] if self.score is None else [files.score(self.score, seed)]
        attacks = [files.attack(self.run, seed, attack) for attack in self.attacks or ()]
        attacked = [files.dataset(study.dataset_of_run(self.run), seed)] if attacks else []
        read = [files.score(score, seed) for score in run.scores]
        arguments = {"selection": selection, "scores": scores, "attacks": attacks, OF_SEED: seed}
        return Needs([selection, *pool, *scores, *read, *attacks, *attacked], arguments)
