"""Print the tables of a study that has run, and where its files are."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pumalib.cli.output import print_json
from pumalib.cli.study import FOLDERS_OF_THEORIES, add_study, expect_results, results_folder
from pumalib.files.tables import read_table
from pumalib.study.file import read_study_file
from pumalib.study.study import OWN_REPORTS

EXAMPLES = ("summary", "summary studies/mine.yaml", "summary studies/mine.yaml --json")

_FORMS = ("csv", "md", "png", "svg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study file."""
    add_study(parser)


def run(options: argparse.Namespace) -> int:
    """Print every report and the folders."""
    folder, sections = results_folder(options.study), read_study_file(options.study)
    results = expect_results(options.study)
    reports = _pages(folder / "reports", sections)
    if options.json:
        print_json({"study": folder.name, "results": _lines(results), "reports": _files(reports)})
        return 0
    for report in reports:
        print(f"\n== {report.stem} ==\n\n{report.read_text(encoding='utf-8').strip()}")
    print(f"\nAll numbers: {results}")
    if (page := folder / "README.md").is_file():
        print(f"Page: {page}")
    for suffix in ("csv", "png", "svg") if reports else ():
        print(f"Reports ({suffix}): " + ", ".join(str(path.with_suffix(f".{suffix}")) for path in reports))
    for name in (*FOLDERS_OF_THEORIES.get(results.stem, ("scores", "selections", "models", "attacks")), "logs"):
        print(f"{name.capitalize()}: {folder / name}")
    return 0


def _pages(folder: Path, sections: Mapping[str, Any]) -> list[Path]:
    """Return the pages of the reports that the study has, in its order; what it had before counts for nothing."""
    names = [*(key for key in OWN_REPORTS if key in sections), *(sections.get("reports") or {})]
    return [path for name in names if (path := folder / f"{name}.md").is_file()]


def _files(reports: list[Path]) -> dict[str, dict[str, str]]:
    return {report.stem: {form: str(report.with_suffix(f".{form}")) for form in _FORMS} for report in reports}


def _lines(results: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(read_table(results).splitlines()))
