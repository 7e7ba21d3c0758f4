"""A table as CSV: a line per row."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import pandas as pd

from pumalib.export.exported import Exported
from pumalib.files.artifacts import writing

_ROWS = 50_000
"""Lines that are in memory at once."""
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")
_TEXTS = ("file", "class", "pruned_by")


def write(exported: Exported, out: Path) -> None:
    """Write rows.

    Raises:
        ResourceError: no room.
    """
    with writing(out) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        for start in range(0, len(exported.rows), _ROWS):
            add_lines(file, exported.table(slice(start, start + _ROWS)), is_first=start == 0)


def add_lines(file: TextIO, table: pd.DataFrame, is_first: bool) -> None:
    """Add lines, numbers in full precision, missing ones as `nan`.

    Text that a spreadsheet would take for a formula gets an apostrophe in front, as in the tables of reports.

    Args:
        file: to add to.
        table: what to add.
        is_first: whether the names of the columns come before it.
    """
    safe = table.assign(**{name: table[name].map(_without_formula) for name in _TEXTS if name in table})
    safe.to_csv(file, index=False, header=is_first, na_rep="nan", lineterminator="\n")


def _without_formula(text: str) -> str:
    return f"'{text}" if text.startswith(_FORMULAS) else text
