"""The examples of CONTRIBUTING.md as edits of a copy of the library.

A heading that ends in a number of files is one example, and its blocks are the files. The first line of a block is its
path. A `diff` block changes a file: `+` marks new lines, `-` those that go, and all others are there, in this order.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from document_blocks import ROOT, Block

PARTS = ("pumalib", "rules/captions")
"""What of the project the examples touch."""

_HEADING = re.compile(r"^### Add an? ([^\n:]*): (\d) files\n(.*?)(?=^##|\Z)", re.M | re.S)
_BLOCK = re.compile(r"^```(python|diff|rst)\n(?:#|\.\.) (\S+)\n(.*?)^```$", re.M | re.S)


class Edit(NamedTuple):
    """A file that an example writes or changes."""

    path: str
    block: Block

    @property
    def is_new(self) -> bool:
        return self.block.language != "diff"

    def apply(self, folder: Path) -> None:
        file = folder / self.path
        if self.is_new:
            assert not file.exists(), f"{self.path} is there already"
            file.write_text(self.block.text)
        else:
            file.write_text(patched(file.read_text(), self.block.text, self.path))


class Example(NamedTuple):
    """How to add one thing."""

    name: str
    num_files: int
    edits: list[Edit]


def examples() -> dict[str, Example]:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    found = {}
    for name, count, text in _HEADING.findall(page):
        edits = [Edit(path, Block(language, block)) for language, path, block in _BLOCK.findall(text)]
        found[name] = Example(name, int(count), edits)
    return found


def patched(text: str, changes: str, path: str) -> str:
    """Return a file with the lines of a `diff` block; every line of it that is not new must be there, in its order."""
    lines = text.splitlines()
    old = [line[1:] for line in changes.splitlines() if line[:1] in "- " and line.strip()]
    starts = [index for index in range(len(lines)) if lines[index : index + len(old)] == old]
    assert len(starts) == 1, f"expected these lines once in {path}, found {len(starts)}:\n" + "\n".join(old)
    (place,) = starts
    new = [line[1:] for line in changes.splitlines() if not line.startswith("-")]
    return "\n".join([*lines[:place], *new, *lines[place + len(old) :]]) + "\n"


def copy_library(folder: Path, edits: Iterable[Edit]) -> Path:
    """Copy the library, byte code included, and apply edits."""
    for part in PARTS:
        shutil.copytree(ROOT / part, folder / part)
    for edit in edits:
        edit.apply(folder)
    return folder


def files_changed(folder: Path) -> set[str]:
    """Return the files of a copy that are not those of the project, and those that it lacks."""
    pairs = [(folder, ROOT), (ROOT, folder)]
    files = {
        str(path.relative_to(one))
        for one, _ in pairs
        for part in PARTS
        for path in (one / part).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return {name for name in files if _content(folder / name) != _content(ROOT / name)}


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
