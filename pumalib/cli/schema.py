"""Print the JSON schema of study files, for editors."""

from __future__ import annotations

import argparse
import json

from pumalib.cli.output import add_json
from pumalib.study.study import json_schema

EXAMPLES = ("schema > schemas/study.json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--json`, which changes nothing here."""
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Print the schema."""
    print(json.dumps(json_schema(), indent=2))
    return 0
