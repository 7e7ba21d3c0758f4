"""A study of the perceptron theory: its grammar and its checks. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field, ValidationError

from pumalib.errors import ConfigError
from pumalib.perceptron.settings import (
    MIN_FIT_POINTS,
    ErrorCurvesSettings,
    PerceptronReportSettings,
    PerceptronSettings,
    StudentName,
)
from pumalib.setting_errors import describe, nearest
from pumalib.settings import Name, TheoryStudySettings

PERCEPTRON_TARGETS = frozenset({"all", "perceptron_shard", "perceptron", "page"})
"""Names of the rules of such a study: a report is a target too, so it cannot have one of these."""


class PerceptronStudySettings(TheoryStudySettings):
    """A study of the perceptron theory as its config file spells it."""

    perceptron: PerceptronSettings
    """The grid."""
    reports: dict[Name, PerceptronReportSettings] = Field(default_factory=dict)
    """Tables and figures, by name; each is a target of its own."""


@dataclass(frozen=True)
class PerceptronStudy:
    """A checked study of the perceptron theory.

    Attributes:
        settings: as spelled.
    """

    settings: PerceptronStudySettings

    @property
    def name(self) -> str:
        """Name of the study."""
        return self.settings.study

    @property
    def extent(self) -> str:
        """How much there is to do, in words."""
        grid = self.settings.perceptron
        return f"{len(grid.students.names)} students, {len(grid.teachers)} teachers"

    def seeds_of_shard(self, shard: int) -> tuple[int, ...]:
        """Return the seeds of a shard: neighbours, so that joined tables do not depend on the number of shards."""
        seeds, shards = self.settings.seeds, self.settings.perceptron.shards
        return seeds[len(seeds) * shard // shards : len(seeds) * (shard + 1) // shards]


def parse_perceptron_study(raw: Mapping[str, Any], origin: str = "config") -> PerceptronStudy:
    """Parse and check a study that has the section `perceptron`.

    Raises:
        ConfigError: the first problem found; the message says where.
    """
    try:
        settings = PerceptronStudySettings.model_validate(dict(raw))
    except ValidationError as error:
        raise ConfigError(describe(error, PerceptronStudySettings, (), origin)) from None
    try:
        _check_shards(settings)
        for name, report in settings.reports.items():
            _check_report(settings, name, report)
    except ConfigError as error:
        raise ConfigError(f"{error} ({origin})") from None
    return PerceptronStudy(settings)


def _check_shards(settings: PerceptronStudySettings) -> None:
    shards, num_seeds = settings.perceptron.shards, len(settings.seeds)
    if shards > num_seeds:
        raise ConfigError(f"expected at most a shard a seed, {num_seeds}, got {shards} at perceptron.shards")


def _check_report(settings: PerceptronStudySettings, name: str, report: PerceptronReportSettings) -> None:
    grid = settings.perceptron
    if name in PERCEPTRON_TARGETS:
        raise ConfigError(f'expected another name, "{name}" is a target of the workflow, at reports.{name}')
    for key, values in (("student", grid.students.names), ("teacher", grid.teachers)):
        _check_one_of(getattr(report, key), values, f"reports.{name}.{key}")
    if isinstance(report, ErrorCurvesSettings):
        _check_one_of(report.epsilon, grid.epsilons, f"reports.{name}.epsilon")
        if report.is_filtered and report.epsilon == 0:
            raise ConfigError(f"expected an epsilon above 0 for a filtered figure, got 0 at reports.{name}.epsilon")
    elif "pe" not in grid.strategies:
        raise ConfigError(f"expected pe among perceptron.strategies for a report of the decay, at reports.{name}")
    num_points = sum(alpha >= report.fit_from_alpha for alpha in grid.alphas)
    if num_points < MIN_FIT_POINTS:
        raise ConfigError(
            f"expected at least {MIN_FIT_POINTS} alphas from {report.fit_from_alpha:g} on for a fit, got {num_points} "
            f"at reports.{name}.fit_from_alpha"
        )


def _check_one_of(value: StudentName | str | float, values: tuple[Any, ...], where: str) -> None:
    if value not in values:
        raise ConfigError(f'expected one of the grid, got "{value}"{nearest(str(value), map(str, values))} at {where}')
