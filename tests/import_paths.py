"""Where a process that a test starts finds packages."""

import os
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def import_paths(*first: Path) -> str:
    """Return a PYTHONPATH of what this process imports from, without the folders of tests.

    A file there may have the name of a module of Python, as tests/golden/numbers.py has.
    """
    found = [path for path in sys.path if path and not Path(path).resolve().is_relative_to(TESTS)]
    return os.pathsep.join([*map(str, first), *found])
