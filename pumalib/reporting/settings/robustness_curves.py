"""Settings of robustness curves: runs, and the minimum-norm attack on them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pumalib.errors import ConfigError
from pumalib.reporting.checks import expect_on_every_run, expect_one_dataset
from pumalib.reporting.needs import needs_of_runs, overlap_of_splits
from pumalib.reporting.report_settings import Names, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name


class RobustnessCurvesSettings(ReportSettings):
    """A figure of accuracy against epsilon, one line per run, from one minimum-norm attack."""

    section: ClassVar[Section] = "Accuracy"

    kind: Literal["robustness_curves"] = "robustness_curves"
    """Which report this is."""
    runs: Names
    """Runs of the figure, in this order."""
    baseline: Name | None = None
    """Run drawn dashed; it need not be among `runs`; null: none."""
    attack: Name
    """Attack of method `minimum_norm` whose norms are drawn."""
    up_to: Annotated[float, Field(ge=1)] = 2.0
    """Largest epsilon drawn, in the threat's epsilons."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse an attack that finds no norms or leaves out a run, and runs of several datasets."""
        study.expect("attack", self.attack, f"{where}.attack")
        method = study.settings.attacks[self.attack].method
        if method != "minimum_norm":
            raise ConfigError(
                f"expected an attack of method minimum_norm, got {self.attack} ({method}) at {where}.attack"
            )
        expect_on_every_run(self, study, self.attack, f"{where}.attack")
        expect_one_dataset(self, study, where)

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the attack table of each run and seed, the threat, and how far splits overlap."""

        def table(run: str, seed: int) -> str:
            return files.attack(run, seed, self.attack)

        overlap = overlap_of_splits(study, self.runs[0], study.settings.attacks[self.attack].split)
        imported = [run for run in self.runs_needed(study) if run in study.imported]
        others = {"threat": study.settings.threat.model_dump(), "test_to_train": overlap, "imported": imported}
        return needs_of_runs(self, study, table, **others)
