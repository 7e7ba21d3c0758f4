"""Settings of a distribution of epsilons: runs that know theirs before training."""

from __future__ import annotations

from typing import ClassVar, Literal

from pumalib.errors import ConfigError
from pumalib.reporting.needs import needs_of_runs
from pumalib.reporting.report_settings import Names, Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.training.online.settings import OnlineEpsilonSettings


class EpsilonDistributionSettings(ReportSettings):
    """A figure of how epsilons are spread over the rows kept, one line per run."""

    section: ClassVar[Section] = "Margins and images"
    is_of_trainings: ClassVar[bool] = True

    kind: Literal["epsilon_distribution"] = "epsilon_distribution"
    """Which report this is."""
    runs: Names
    """Runs of the figure, in this order; not those that find their epsilons during training."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse runs that find their epsilons during training."""
        for index, run in enumerate(self.runs):
            policy = study.trained[run].epsilon
            if isinstance(policy, OnlineEpsilonSettings):
                raise ConfigError(
                    f"expected runs whose epsilons are known before training, got {run} ({policy.policy}) at "
                    f"{where}.runs[{index}]; its history.csv has mean_epsilon"
                )

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the selection of each run and seed, and the threat."""
        return needs_of_runs(self, study, files.selection, threat=study.settings.threat.model_dump())
