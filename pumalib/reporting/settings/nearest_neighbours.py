"""Settings of nearest neighbours: a pool with synthetic rows."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pumalib.errors import ConfigError
from pumalib.reporting.needs import drawn_seed
from pumalib.reporting.report_settings import OF_SEED, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name


class NearestNeighboursSettings(ReportSettings):
    """A figure of how near the synthetic images of a pool lie to its real train images."""

    section: ClassVar[Section] = "Margins and images"
    is_heavy: ClassVar[bool] = True

    kind: Literal["nearest_neighbours"] = "nearest_neighbours"
    """Which report this is."""
    pool: Name
    """Pool whose synthetic rows are measured."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Seed of the pool; null: the first seed of the study."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse a pool that is not there, or has no synthetic rows."""
        study.expect("pool", self.pool, f"{where}.pool")
        if study.settings.pools[self.pool].synthetic is None:
            raise ConfigError(f"expected a pool with synthetic rows, got {self.pool} at {where}.pool")

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the pool, and its dataset, which has train and test rows."""
        seed = drawn_seed(study, self.seed)
        pool, dataset = files.pool(self.pool, seed), files.dataset(str(study.settings.pools[self.pool].dataset), seed)
        inputs = [pool, dataset, *files.pool_sources(self.pool, seed)]
        return Needs(inputs, {"pool": pool, "dataset": dataset, OF_SEED: seed})
