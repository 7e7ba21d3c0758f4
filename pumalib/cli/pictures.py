"""The option that names a picture to write."""

from __future__ import annotations

import argparse
from pathlib import Path

from pumalib.cli.paths import writable


def picture(text: str) -> Path:
    """Return the path of a PNG that can be written; another is a wrong command line."""
    if Path(text).suffix != ".png":
        raise argparse.ArgumentTypeError(f"expected a file name that ends in .png, got {text}")
    return writable(text)
