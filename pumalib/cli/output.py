"""Text for people and JSON for programs: aligned columns, wrapped settings, trees. Plain text, no colour."""

from __future__ import annotations

import argparse
import json
import math
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_WIDEST = 120


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add the option that every command with data to print has."""
    parser.add_argument("--json", action="store_true", help="print JSON; keys: docs/command-line.md")


def has_unicode() -> bool:
    """Say whether the terminal, or the file that output goes to, holds more than ASCII."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


def line_width() -> int:
    """Return how many characters a line may have."""
    return min(shutil.get_terminal_size((100, 24)).columns, _WIDEST)


def print_json(value: Any) -> None:
    """Print JSON with sorted keys; numbers that JSON lacks (NaN, infinity) become null."""
    print(json.dumps(plain(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """Turn a value into what JSON holds."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def spell(value: Any) -> str:
    """Spell one value: numbers with four digits, `-` for what is not known."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(spell(item) for item in value)
    return str(value)


def aligned(header: Sequence[str], rows: Sequence[Sequence[Any]], has_units: bool = True) -> list[str]:
    """Return a table in columns: words to the left, numbers to the right.

    Columns that do not fit the line follow in blocks below, each led by the columns that tell the rows apart.

    Args:
        header: names of the columns.
        rows: their cells.
        has_units: whether the numbers of a column are of one kind, and so get the same decimals.
    """
    decimals = [_decimals([row[index] for row in rows]) if has_units else None for index in range(len(header))]
    cells = [[_cell(cell, places) for cell, places in zip(row, decimals, strict=True)] for row in rows]
    widths = [max(len(line[index]) for line in [list(header), *cells]) for index in range(len(header))]
    is_left = [all(isinstance(row[index], str) for row in rows) for index in range(len(header))]
    lines: list[str] = []
    for block in _blocks(widths, _num_leading(cells)):
        lines += [""] if lines else []
        for line in [list(header), *cells]:
            parts = [line[at].ljust(widths[at]) if is_left[at] else line[at].rjust(widths[at]) for at in block]
            lines.append(("  " + "  ".join(parts)).rstrip())
    return lines


def _num_leading(cells: Sequence[Sequence[str]]) -> int:
    """Return how many columns tell the rows apart; all of them if none do."""
    width = len(cells[0]) if cells else 0
    return next((num for num in range(width) if len({tuple(row[:num]) for row in cells}) == len(cells)), width)


def _blocks(widths: Sequence[int], num_leading: int) -> Iterator[list[int]]:
    """Yield the columns of each block that fits the line, one column at least, after those that lead each block."""
    leading = list(range(num_leading))
    block, room = list(leading), line_width()
    for at in range(num_leading, len(widths)):
        is_full = sum(2 + widths[column] for column in [*block, at]) > room
        if is_full and len(block) > num_leading:
            yield block
            block = list(leading)
        block.append(at)
    yield block


def _decimals(column: Sequence[Any]) -> int | None:
    """Return the decimals that give the largest number of a column four digits; None: no fractions in it."""
    sizes = [abs(float(cell)) for cell in column if isinstance(cell, float | np.floating) and math.isfinite(cell)]
    if not sizes or max(sizes) == 0:
        return None
    return min(max(3 - math.floor(math.log10(max(sizes))), 0), 6)


def _cell(value: Any, decimals: int | None) -> str:
    is_fraction = isinstance(value, float | np.floating) and math.isfinite(value)
    return f"{value:.{decimals}f}" if is_fraction and decimals is not None else spell(value)


def facts(pairs: Mapping[str, Any], indent: str = "  ") -> list[str]:
    """Return names and values below each other, values in one column, long ones wrapped."""
    names = {name.replace("_", " "): spell(value) for name, value in pairs.items()}
    width = max((len(name) for name in names), default=0)
    lines: list[str] = []
    for name, text in names.items():
        lines += wrapped(text, f"{indent}{name.ljust(width)}  ", " " * (len(indent) + width + 2))
    return lines


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield settings as `key=value`, nested keys with dots; what is not set is left out."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
            for index, item in enumerate(value):
                yield from flat(item, f"{prefix}{key}[{index}].")
        elif value not in (None, [], ()):
            yield f"{prefix}{key}={json.dumps(value) if isinstance(value, bool) else _bare(value)}"


def _bare(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else f"{value}"


def wrapped(text: str, first: str, then: str) -> list[str]:
    """Wrap text at the line's width, with what stands before the first line and the others."""
    room = max(line_width(), len(first) + 30)
    lines = textwrap.wrap(
        text, room, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )
    return lines or [first.rstrip()]
