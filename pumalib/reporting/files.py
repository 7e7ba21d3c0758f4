"""Writing report files: always whole, always with the same bytes for the same content."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pumalib.files.artifacts import writing
from pumalib.files.plain_text import visible
from pumalib.files.tables import write_table


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends and exactly one at the end of the file."""
    with writing(path) as temporary:
        temporary.write_text(text.rstrip("\n") + "\n", encoding="utf-8", newline="\n")


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON that people can read too; nan and infinity are refused."""
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False))


def write_csv(path: Path, frame: pd.DataFrame) -> None:
    """Write a frame without its index, numbers in full precision, missing values as `nan`.

    Words that a spreadsheet would take for a formula get an apostrophe in front, as it does itself.
    """
    safe = frame.map(lambda cell: f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell)
    write_table(path, safe.to_csv(index=False, na_rep="nan", lineterminator="\n"))


_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def as_text(words: str) -> str:
    """Return words that a user chose, such as a class's name, as Markdown that shows them and does nothing else."""
    escaped = re.sub(r"([\\`*\[\]|])", r"\\\1", " ".join(visible(words).split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Return a pipe table; the first column is left-aligned, the others right-aligned."""
    rule = [":--", *["--:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows])


def markdown_image(markdown_path: Path, image_path: Path, title: str) -> str:
    """Return a Markdown image whose link is relative to the page it stands on."""
    link = os.path.relpath(image_path, Path(markdown_path).parent)
    return f"![{title}]({Path(link).as_posix()})"
