"""Check a study file without running anything."""

from __future__ import annotations

import argparse

from pumalib.cli.output import print_json
from pumalib.cli.study import add_study, expect_study
from pumalib.study.file import load_study

EXAMPLES = ("check", "check studies/mine.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study file."""
    add_study(parser)


def run(options: argparse.Namespace) -> int:
    """Say how much there is to do; the first problem is an error."""
    expect_study(options.study)
    study = load_study(options.study)
    seeds = list(study.settings.seeds)
    if options.json:
        print_json({"file": options.study, "study": study.name, "extent": study.extent, "seeds": seeds})
    else:
        print(f"{options.study}: {study.extent}, {len(seeds)} seeds, no problem found")
    return 0
