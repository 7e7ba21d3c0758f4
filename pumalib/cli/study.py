"""What the commands about a study share: the file's name as an argument, and the folder of its results."""

from __future__ import annotations

import argparse
import difflib
import re
from pathlib import Path

from pumalib.cli.output import add_json
from pumalib.cli.paths import nearest_path
from pumalib.errors import ConfigError
from pumalib.setting_errors import NAME_PATTERN
from pumalib.study.file import read_study_file

FOLDERS_OF_THEORIES = {"perceptron": ("perceptron",), "abstraction": ()}
"""What the results of a study of a theory hold beside its table, by the section that tells it."""

_LIKENESS = 0.6
"""Of names, from which one is suggested for another."""


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add the study file and `--json`."""
    add_study_file(parser)
    add_json(parser)


def add_study_file(parser: argparse.ArgumentParser) -> None:
    """Add the study file alone."""
    parser.add_argument("study", nargs="?", default="config.yaml", help="study file (default: config.yaml)")


def expect_study(path: str) -> None:
    """Refuse the path of no file, with the study of that name, or the nearest path.

    Raises:
        ConfigError: nothing is there.
    """
    if not Path(path).exists():
        known = {study.stem: study for study in [*Path().glob("*.yaml"), *sorted(Path("studies").rglob("*.yaml"))]}
        close = difflib.get_close_matches(Path(path).stem, known, n=1, cutoff=_LIKENESS)
        hint = f"; did you mean {known[close[0]]}?" if close else nearest_path(Path(path))
        raise ConfigError(f"expected a study file, found nothing at {path}{hint}")


def results_folder(path: str) -> Path:
    """Return the folder of a study's results.

    Raises:
        ConfigError: no study file, or none with a name.
    """
    expect_study(path)
    name = read_study_file(path).get("study")
    if not isinstance(name, str) or not re.match(NAME_PATTERN, name):
        raise ConfigError(f"expected a name, got {name!r} at study ({path})")
    return Path("results") / name


def results_of(path: str) -> Path:
    """Return the table of all numbers of a study, whether it is there or not."""
    sections = read_study_file(path)
    kind = next((name for name in FOLDERS_OF_THEORIES if name in sections), "results")
    return results_folder(path) / f"{kind}.csv"


def expect_results(path: str) -> Path:
    """Return that table.

    Raises:
        ConfigError: the study has not run to its end.
    """
    results = results_of(path)
    if not results.is_file():
        study = "" if path == "config.yaml" else f" {path}"
        raise ConfigError(f"expected {results}, found none; run `puma run{study}` first")
    return results
