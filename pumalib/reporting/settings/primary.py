"""Settings of the primary contrast of a study: the one comparison that was chosen before any result was seen."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pumalib.errors import ConfigError
from pumalib.reporting.checks import expect_one_dataset, expect_one_split, expect_perturbing
from pumalib.reporting.needs import common_attacks, needs_of_results, primary_contrast
from pumalib.reporting.report_settings import Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name, Settings


class PrimaryContrast(Settings):
    """The one comparison that the study was made for; every other one is exploratory."""

    run: Name
    """Run that the question is about."""
    against: Name
    """Run that it is compared with."""
    metric: Literal["clean_accuracy", "robust_accuracy"]
    """Accuracy that is compared."""
    attack: Name | None = None
    """Attack behind robust accuracy; null: the only one that perturbs and is on both runs."""
    margin: float = Field(default=0.5, gt=0, le=100)
    """Points of accuracy that count as no difference."""

    @model_validator(mode="after")
    def _refuse_what_is_no_contrast(self) -> PrimaryContrast:
        if self.run == self.against:
            raise ValueError(f'expected two runs, got "{self.run}" as run and against')
        if self.metric == "clean_accuracy" and self.attack is not None:
            raise ValueError(f"expected no attack with clean_accuracy, got {self.attack}; leave attack out")
        return self


class PrimarySettings(ReportSettings):
    """The report of the primary contrast; it is made by itself where the study has the key `primary`."""

    section: ClassVar[Section] = "Primary contrast"

    kind: Literal["primary"]
    """Which report this is."""
    contrast: PrimaryContrast
    """As the key `primary` has it."""

    def named_runs(self) -> list[tuple[str, str]]:
        """Return the two runs."""
        return [("contrast.run", self.contrast.run), ("contrast.against", self.contrast.against)]

    def named_attacks(self) -> list[str]:
        """Return the attack of the contrast, where it names one."""
        return [] if self.contrast.attack is None else [self.contrast.attack]

    def check(self, study: StudyView, where: str) -> None:
        """Refuse a second primary contrast, an attack that is not on both runs, and runs of two datasets."""
        if study.settings.primary != self.contrast or where != "reports.primary":
            raise ConfigError(
                f"expected the primary contrast under the key primary alone, got a report of kind primary at {where}; "
                "leave that report out: it is made by itself"
            )
        expect_one_dataset(self, study, "primary")
        expect_one_split(self, study, "primary")
        if self.contrast.attack is not None:
            expect_perturbing(self, study, self.contrast.attack, "primary.attack")
        elif self.contrast.metric == "robust_accuracy":
            self._expect_one_attack(study)

    def _expect_one_attack(self, study: StudyView) -> None:
        attacks = common_attacks(study, self.contrast.run, self.contrast.against)
        if len(attacks) != 1:
            raise ConfigError(
                f"expected primary.attack, because {' and '.join(self.runs_needed(study))} have "
                f"{', '.join(attacks) or 'no attack that perturbs'} in common, got none"
            )

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the results of the two runs, and the contrast with its attack spelled out."""
        contrast = primary_contrast(study)
        attacks = [] if contrast is None or contrast["attack"] == "none" else [contrast["attack"]]
        return needs_of_results(self, study, files, attacks, primary=contrast)
