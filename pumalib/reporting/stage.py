"""The report stage: a report's settings and files in; its table, figure and page out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from pydantic import validate_call

from pumalib.reporting.parts import ReportFiles, ReportParts, write_parts
from pumalib.reporting.report_settings import OF_SEED


def write_report(settings: Mapping[str, Any], arguments: Mapping[str, Any], files: ReportFiles) -> None:
    """Write a report.

    Args:
        settings: the report's; `kind` is the name of the module that makes it.
        arguments: further arguments of that module's `make`, as `ReportSettings.needs` spells them.
        files: where the report goes.

    Raises:
        ArtifactError: a file is missing, damaged, or not of the same pool as another.
        DataError: the files do not hold what the report is about.
    """
    write_parts(make_report(settings, arguments), files)


def make_report(settings: Mapping[str, Any], arguments: Mapping[str, Any]) -> ReportParts:
    """Make the parts of a report, by `make` of its kind's module.

    What the rules spell in plain words becomes what `make` declares: settings, paths and dataclasses. The page of a
    report about one seed says which, because a study may have several.
    """
    seed, others = arguments.get(OF_SEED), {name: value for name, value in arguments.items() if name != OF_SEED}
    make = validate_call(import_module(f"pumalib.reporting.kinds.{settings['kind']}").make)
    parts: ReportParts = make(settings, **others)
    return parts if seed is None else replace(parts, text=f"{parts.text}\n\nAll of this is of seed {seed} alone.")
