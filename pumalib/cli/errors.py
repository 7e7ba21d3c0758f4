"""Print the messages of the jobs that failed in the last run; nothing if none did."""

from __future__ import annotations

import argparse
import sys

from pumalib.cli.output import print_json
from pumalib.cli.study import add_study, results_folder
from pumalib.jobs.driver import errors_of_run
from pumalib.jobs.frame import ERRORS_FILE

EXAMPLES = ("errors", "errors studies/mine.yaml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study file."""
    add_study(parser)


def run(options: argparse.Namespace) -> int:
    """Print the messages; status 1 if there are any."""
    text = errors_of_run(results_folder(options.study) / "logs" / ERRORS_FILE)
    if options.json:
        print_json({"errors": text})
    elif text:
        print(f"\nError: {text}", file=sys.stderr)
    return 1 if text else 0
