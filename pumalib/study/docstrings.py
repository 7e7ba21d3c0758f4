"""The parts of a docstring in Google form."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

TITLES = ("Args", "Attributes", "Returns", "Raises", "Source", "Example")
_HEAD = re.compile(rf"({'|'.join(TITLES)}):(?: (.*))?")


class Entry(NamedTuple):
    """An argument, attribute or error, and what is said of it."""

    name: str
    text: str


@dataclass(frozen=True)
class Docstring:
    """A docstring, taken apart.

    Attributes:
        summary: its first line.
        paragraphs: those that follow, each as one line.
        sections: the text under each title, without its indent.
    """

    summary: str
    paragraphs: tuple[str, ...]
    sections: Mapping[str, str]

    def entries(self, title: str) -> list[Entry]:
        """Return the entries of a section; none where it is missing.

        Raises:
            ValueError: a line that begins no entry.
        """
        text = self.sections.get(title, "")
        found: list[Entry] = []
        for part in re.split(r"\n(?! )", text) if text else ():
            name, colon, said = part.partition(": ")
            if not colon:
                raise ValueError(f"expected `name: text` under {title}, got {part!r}")
            found.append(Entry(name, as_line(said)))
        return found


def parse(text: str) -> Docstring:
    """Take a docstring apart; what stands under no title is a paragraph."""
    sections: dict[str, list[str]] = {"": []}
    title = ""
    for line in inspect.cleandoc(text).splitlines():
        head = _HEAD.fullmatch(line)
        if head is not None:
            title = head[1]
            sections[title] = [head[2]] if head[2] else []
        else:
            title = "" if line and not line.startswith(" ") else title
            sections[title].append(line)
    prose = "\n".join(sections.pop("")).strip()
    summary, *paragraphs = re.split(r"\n\s*\n", prose)
    found = {name: textwrap.dedent("\n".join(lines)).strip() for name, lines in sections.items()}
    return Docstring(as_line(summary), tuple(map(as_line, paragraphs)), found)


def described(text: str) -> str:
    """Return a docstring without its example, arguments and errors: what it describes, and its source."""
    read = parse(text)
    source = read.sections.get("Source")
    return "\n\n".join([read.summary, *read.paragraphs, *([f"Source: {as_line(source)}"] if source else [])])


def as_line(text: str) -> str:
    """Return a text without its line breaks."""
    return " ".join(text.split())
