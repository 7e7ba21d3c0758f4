"""Settings of what generated rows turned out to be: margins by a second model, and what asked for the rows."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pumalib.data.settings import AskedMarginSettings
from pumalib.errors import ConfigError
from pumalib.reporting.checks import expect_same_measure, expect_second_model
from pumalib.reporting.report_settings import Names, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name


class GeneratedRowsSettings(ReportSettings):
    """What the synthetic rows of pools turned out to be, measured by a model that had no part in making them.

    Margins asked and got, labels that a classifier of real rows denies, copies of train rows, and diversity.
    """

    section: ClassVar[Section] = "Margins and images"
    is_heavy: ClassVar[bool] = True

    kind: Literal["generated_rows"] = "generated_rows"
    """Which report this is."""
    scores: Names
    """Margins by one model of real rows alone, which neither conditioned nor guided; each of a pool with synthetic
    rows, which are the set that is measured."""
    plain: Name | None = None
    """Score, among `scores`, of a set that was asked for nothing, whose share of rows in each band is shown as well;
    null: none."""
    labels_by: Names | None = None
    """Margins by another such model, of the same pools in the same order, which judges the labels too; null: the model
    of `scores` alone does."""
    neighbours: Annotated[int, Field(ge=1)] = 5
    """Neighbours that the ball around a real image reaches to (k of Naeem et al. 2020), for density and coverage."""
    count: Annotated[int, Field(ge=2)] = 10_000
    """Images of each set, and real images, whose distances are measured at most; of more, a sample in proportion to
    the classes. As many of each set as the smallest has."""

    @model_validator(mode="after")
    def _check_lists(self) -> GeneratedRowsSettings:
        if self.labels_by is not None and len(self.labels_by) != len(self.scores):
            raise ValueError(f"expected {len(self.scores)} labels_by, one for each score, got {len(self.labels_by)}")
        if self.plain is not None and self.plain not in self.scores:
            raise ValueError(f"expected plain among scores, got {self.plain}")
        return self

    def check(self, study: StudyView, where: str) -> None:
        """Refuse models that had a part in the sets, and sets or a plain one that do not fit."""
        for key, scores in self._lists().items():
            for index, score in enumerate(scores):
                at = f"{where}.{key}[{index}]"
                expect_second_model(study, score, at)
                self._expect_pool(study, scores, index, at)
                expect_same_measure(study, score, scores[0], at)
        if self.plain is not None:
            _expect_plain(study, self.plain, f"{where}.plain")

    def _lists(self) -> dict[str, tuple[str, ...]]:
        return {"scores": self.scores, **({} if self.labels_by is None else {"labels_by": self.labels_by})}

    def _expect_pool(self, study: StudyView, scores: tuple[str, ...], index: int, where: str) -> None:
        """Refuse a pool that is there twice, of another dataset, or other than that of the score that it goes with."""
        pool, first = study.score_pool(scores[index]), study.score_pool(self.scores[0])
        if pool in map(study.score_pool, scores[:index]):
            raise ConfigError(f"expected each pool once, got {pool} twice at {where}")
        if study.dataset_of_pool(pool) != study.dataset_of_pool(first):
            raise ConfigError(
                f"expected pools of one dataset, got {pool} on {study.dataset_of_pool(pool)} and {first} on "
                f"{study.dataset_of_pool(first)}, at {where}; make a report for each dataset"
            )
        wanted = study.score_pool(self.scores[index])
        if pool != wanted:
            raise ConfigError(
                f"expected a score of pool {wanted}, as {self.scores[index]} is, got {scores[index]}, a score of pool "
                f"{pool}, at {where}"
            )

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the dataset, the pools and the scores with each seed, and the margins that generators learned."""
        inputs: list[str] = []
        entries = []
        dataset = study.dataset_of_pool(study.score_pool(self.scores[0]))
        for seed in study.settings.seeds:
            sets = [self._set(study, files, index, seed) for index in range(len(self.scores))]
            entries.append({"seed": seed, "dataset": files.dataset(dataset, seed), "sets": sets})
            inputs.append(files.dataset(dataset, seed))
            for each in sets:
                asked = [] if each["asked"] is None else [each["asked"]["score"]]
                judges = [] if each["labels_by"] is None else [each["labels_by"]]
                inputs += [each["pool"], *files.pool_sources(each["name"], seed), each["score"], *judges, *asked]
        return Needs(inputs, {"files": entries, "dataset": dataset})

    def _set(self, study: StudyView, files: StudyFiles, index: int, seed: int) -> dict[str, Any]:
        """Return what one set is measured from: a mapping as in `SetFiles`."""
        pool = study.score_pool(self.scores[index])
        asked = _asked(study, pool)
        bounds = asked and {
            "above": asked.above,
            "below": asked.below,
            "score": files.score(study.scores_behind_pool(pool)[0], seed),
        }
        return {
            "name": pool,
            "pool": files.pool(pool, seed),
            "score": files.score(self.scores[index], seed),
            "labels_by": None if self.labels_by is None else files.score(self.labels_by[index], seed),
            "asked": bounds,
        }


def _expect_plain(study: StudyView, score: str, where: str) -> None:
    pool = study.score_pool(score)
    keys = ("margin", "guidance")
    asked = [key for key in keys if getattr(study.settings.pools[pool].synthetic, key, None) is not None]
    if asked:
        raise ConfigError(
            f"expected a set that was asked for nothing, got {score}, of pool {pool}, which has {asked[0]}, at {where}"
        )


def _asked(study: StudyView, pool: str) -> AskedMarginSettings | None:
    """Return the margins that a pool asks of its generator; None: none, or it has no generator."""
    asked: AskedMarginSettings | None = getattr(study.settings.pools[pool].synthetic, "margin", None)
    return asked
