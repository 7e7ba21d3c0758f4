"""The reports of a study: every kind that there is, found by its modules, and their checks. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from importlib import import_module
from importlib.util import find_spec
from operator import or_
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Annotated, get_args

from pydantic import Field

from pumalib.errors import ConfigError
from pumalib.reporting import settings as settings_of_kinds
from pumalib.reporting.report_settings import ReportSettings
from pumalib.reporting.study_view import StudyView

KINDS = "pumalib.reporting.kinds"
"""Package of the modules that make reports, each named as its kind."""


def report_kinds() -> dict[str, type[ReportSettings]]:
    """Return the settings of every kind of report, by kind, in the order of the alphabet.

    Raises:
        ConfigError: a module of settings without its one class, or without a module that makes the report.
    """
    modules = [each.name for each in iter_modules(settings_of_kinds.__path__)]
    return {kind: _settings_of(kind) for kind in sorted(modules)}


def _settings_of(kind: str) -> type[ReportSettings]:
    module = import_module(f"{settings_of_kinds.__name__}.{kind}")
    own = [each for each in vars(module).values() if getattr(each, "__module__", None) == module.__name__]
    found = [each for each in own if isinstance(each, type) and issubclass(each, ReportSettings)]
    if len(found) != 1 or get_args(found[0].model_fields["kind"].annotation) != (kind,):
        raise ConfigError(f'expected one class of ReportSettings, its kind Literal["{kind}"], in {module.__name__}')
    missing = sorted(found[0].__abstractmethods__)
    if missing:
        raise ConfigError(f"expected check and needs of {found[0].__name__}, got one without {' and '.join(missing)}")
    if find_spec(f"{KINDS}.{kind}") is None:
        raise ConfigError(f"expected a module {KINDS}.{kind}, which makes the reports of this kind, got none")
    return found[0]


if TYPE_CHECKING:
    AnyReportSettings = ReportSettings
else:
    AnyReportSettings = Annotated[reduce(or_, report_kinds().values()), Field(discriminator="kind")]
    """Any report of a study."""


def check_reports(study: StudyView, reports: Mapping[str, ReportSettings]) -> None:
    """Refuse reports that name what is not there or what cannot stand beside each other.

    Raises:
        ConfigError: the first problem found, with the key's path.
    """
    for name, report in reports.items():
        where = f"reports.{name}"
        for key, run in report.named_runs():
            if report.is_of_trainings:
                study.expect_trained(run, f"{where}.{key}")
            else:
                study.expect("run", run, f"{where}.{key}")
        report.check(study, where)
        seed = getattr(report, "seed", None)
        if seed is not None and seed not in study.settings.seeds:
            raise ConfigError(f"expected a seed among {list(study.settings.seeds)}, got {seed} at {where}.seed")
