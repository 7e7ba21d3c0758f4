"""The option that names a picture to write."""

from __future__ import annotations

import argparse
from pathlib import Path


def picture(text: str) -> Path:
    """Return the path of a PNG; another ending is a wrong command line."""
    path = Path(text)
    if path.suffix != ".png":
        raise argparse.ArgumentTypeError(f"expected a file name that ends in .png, got {text}")
    return path
