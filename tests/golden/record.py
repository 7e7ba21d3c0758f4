"""Make the golden studies and write their numbers, after a change that is meant to move some. From the root:

    python -m tests.golden.record

prints what moved, for the changelog, and writes numbers.json. `--check` writes nothing and fails where something moved.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory

from pumalib.study.file import load_study
from tests.golden.numbers import Numbers, compare, condense, read_numbers, write_numbers
from tests.golden.workflow import Workflow

FOLDER = Path(__file__).parent
NUMBERS = FOLDER / "numbers.json"
STUDIES = ("study.yaml", "study-l2.yaml", "study-steps.yaml", "study-steps-l2.yaml")


def measure(folder: Path, patterns: Sequence[str] = ("*",), device: str = "cpu") -> Numbers:
    """Make the files whose name fits a pattern, with all they are made from, and condense them."""
    numbers: Numbers = {}
    for study in STUDIES:
        workflow = Workflow(load_study(FOLDER / study), folder, device)
        for name, make in workflow.files().items():
            if any(fnmatch(f"{workflow.study.name}/{name}", pattern) for pattern in patterns):
                numbers[f"{workflow.study.name}/{name}"] = condense(make())
    return numbers


def main() -> int:
    parser = argparse.ArgumentParser(description="Record the numbers of the golden studies.")
    parser.add_argument("--check", nargs="*", metavar="PATTERN", help="compare alone, these files (all)")
    parser.add_argument("--numbers", type=Path, default=NUMBERS, help="the file of numbers")
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        found = measure(Path(folder), arguments.check or ("*",))
    moved = compare(found, *read_numbers(arguments.numbers)) if arguments.numbers.exists() else []
    print("\n".join([*moved, f"{len(moved)} numbers moved"]))
    if arguments.check is None:
        write_numbers(found, arguments.numbers)
        return 0
    return int(bool(moved))


if __name__ == "__main__":
    sys.exit(main())
