"""Command line: check a study, print its results, its jobs' errors, or the JSON schema of study files."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from pumalib.config import json_schema
from pumalib.errors import ConfigError, PumaError
from pumalib.jobs import ERRORS_FILE, reach_user_modules
from pumalib.settings import NAME_PATTERN
from pumalib.study_file import load_study, read_study_file

_FOLDERS = {"perceptron": ("perceptron",), "abstraction": ()}
"""What the results of a study of a theory hold beside its table, by the section that tells it."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pumalib", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_text in (
        ("check", "check a study file without running anything"),
        ("summary", "print the tables of a study that has run, and where its files are"),
        ("errors", "print the messages of the jobs that failed in the last run"),
    ):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("study", nargs="?", default="config.yaml", help="study file (default: config.yaml)")
    commands.add_parser("schema", help="print the JSON schema of study files")
    options = parser.parse_args(arguments)
    reach_user_modules()
    try:
        return _run(options)
    except PumaError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    if options.command == "schema":
        print(json.dumps(json_schema(), indent=2))
    elif options.command == "check":
        study = load_study(options.study)
        print(f"{options.study}: {study.extent}, {len(study.settings.seeds)} seeds, no problem found")
    elif options.command == "summary":
        _print_summary(options.study)
    else:
        _print_errors(_results_folder(options.study))
    return 0


def _results_folder(path: str) -> Path:
    name = read_study_file(path).get("study")
    if not isinstance(name, str) or not re.match(NAME_PATTERN, name):
        raise ConfigError(f"expected a name, got {name!r} at study ({path})")
    return Path("results") / name


def _print_summary(study: str) -> None:
    folder, sections = _results_folder(study), read_study_file(study)
    kind = next((name for name in _FOLDERS if name in sections), "results")
    results = folder / f"{kind}.csv"
    if not results.is_file():
        raise ConfigError(f"expected {results}, found none; run `snakemake --cores all` first")
    reports = sorted((folder / "reports").glob("*.md"))
    for report in reports:
        print(f"\n== {report.stem} ==\n\n{report.read_text(encoding='utf-8').strip()}")
    print(f"\nAll numbers: {results}")
    for suffix in ("csv", "png", "svg") if reports else ():
        print(f"Reports ({suffix}): " + ", ".join(str(path.with_suffix(f".{suffix}")) for path in reports))
    for name in (*_FOLDERS.get(kind, ("scores", "selections", "models", "attacks")), "logs"):
        print(f"{name.capitalize()}: {folder / name}")


def _print_errors(folder: Path) -> None:
    errors = folder / "logs" / ERRORS_FILE
    if errors.is_file():
        print(f"\nError: {errors.read_text(encoding='utf-8').strip()}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
