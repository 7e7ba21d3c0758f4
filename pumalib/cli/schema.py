"""Print the JSON schema of study files, for editors."""

from __future__ import annotations

import argparse
import json

from pumalib.config import json_schema

EXAMPLES = ("schema > schemas/study.json",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add none."""


def run(options: argparse.Namespace) -> int:
    """Print the schema."""
    print(json.dumps(json_schema(), indent=2))
    return 0
