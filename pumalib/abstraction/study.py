"""A study of the abstraction model: its grammar and its checks. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, ValidationError

from pumalib.abstraction.settings import AbstractionCurvesSettings, AbstractionSettings
from pumalib.errors import ConfigError
from pumalib.setting_errors import describe
from pumalib.settings import Name, TheoryStudySettings

ABSTRACTION_TARGETS = frozenset({"all", "abstraction", "page"})
"""Names of the rules of such a study: a report is a target too, so it cannot have one of these."""


class AbstractionStudySettings(TheoryStudySettings):
    """A study of the abstraction model as its config file spells it."""

    abstraction: AbstractionSettings
    """The model and the grid."""
    reports: dict[Name, AbstractionCurvesSettings] = Field(default_factory=dict)
    """Figures, by name; each is a target of its own."""


@dataclass(frozen=True)
class AbstractionStudy:
    """A checked study of the abstraction model.

    Attributes:
        settings: as spelled.
    """

    settings: AbstractionStudySettings

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.settings.study

    @property
    def extent(self) -> str:
        """How much there is to do, in words."""
        return f"{len(self.settings.abstraction.epsilons)} epsilons"


def parse_abstraction_study(raw: Mapping[str, Any], origin: str = "config") -> AbstractionStudy:
    """Parse and check a study that has the section `abstraction`.

    Raises:
        ConfigError: the first problem found; the message says where.
    """
    try:
        settings = AbstractionStudySettings.model_validate(dict(raw))
    except ValidationError as error:
        raise ConfigError(describe(error, AbstractionStudySettings, (), origin)) from None
    for name in settings.reports:
        if name in ABSTRACTION_TARGETS:
            raise ConfigError(
                f'expected another name, "{name}" is a target of the workflow, at reports.{name} ({origin})'
            )
    return AbstractionStudy(settings)
