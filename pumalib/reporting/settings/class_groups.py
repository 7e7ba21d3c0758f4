"""Settings of the groups of classes of a dataset."""

from __future__ import annotations

from typing import ClassVar, Literal

from pumalib.data.settings import class_tree_of
from pumalib.errors import ConfigError
from pumalib.reporting.report_settings import Needs, ReportSettings
from pumalib.reporting.section_settings import Section
from pumalib.reporting.study_view import StudyFiles, StudyView
from pumalib.settings import Name


class ClassGroupsSettings(ReportSettings):
    """Which class of a dataset went into which group, and how large the groups are."""

    section: ClassVar[Section] = "Margins and images"

    kind: Literal["class_groups"] = "class_groups"
    """Which report this is."""
    dataset: Name
    """Dataset whose classes are in groups."""

    def check(self, study: StudyView, where: str) -> None:
        """Refuse a dataset that is not there, or whose classes are not in groups."""
        study.expect("dataset", self.dataset, f"{where}.dataset")
        if class_tree_of(study.settings.datasets[self.dataset]) is None:
            raise ConfigError(
                f"expected a dataset with classes in groups, got {self.dataset} at {where}.dataset; "
                f"set datasets.{self.dataset}.classes"
            )

    def needs(self, study: StudyView, files: StudyFiles) -> Needs:
        """Return the dataset of the first seed: the groups are the same with every seed."""
        dataset = files.dataset(self.dataset, study.settings.seeds[0])
        return Needs([dataset], {"dataset": dataset})
