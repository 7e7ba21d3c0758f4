"""A file of one run and seed, as reports read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFile:
    """A history, a selection or an attack table.

    Attributes:
        run, seed: which.
        path: the file.
    """

    run: str
    seed: int
    path: Path
