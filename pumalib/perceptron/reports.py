"""Reports of the perceptron theory: the table of errors in, a figure with its numbers and its page out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pumalib.perceptron.decay import write_decay
from pumalib.perceptron.error_curves import write_error_curves
from pumalib.perceptron.settings import ErrorCurvesSettings, PerceptronReportSettings
from pumalib.perceptron.table import read_errors
from pumalib.reporting.figures import FigurePaths


def write_report(settings: Mapping[str, Any], table: Path, csv: Path, markdown: Path, png: Path, svg: Path) -> None:
    """Write one report of a study.

    Args:
        settings: the report's.
        table: `perceptron.csv`.
        csv, markdown, png, svg: where the report goes.
    """
    report = TypeAdapter[Any](PerceptronReportSettings).validate_python(settings)
    write = write_error_curves if isinstance(report, ErrorCurvesSettings) else write_decay
    write(read_errors(table), report, csv, markdown, FigurePaths(png, svg))
