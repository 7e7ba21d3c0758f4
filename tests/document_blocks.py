"""The fenced blocks of the pages, and the commands in them."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("make", "snakemake", "puma", "python", "python3", "pip", "squeue", "scancel", "sbatch", "source", "sed")


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str

    @property
    def path(self) -> str | None:
        """The file that the block is, by its first line."""
        found = re.match(r"# ([\w/-]+\.(?:py|yaml))\n", self.text)
        return found[1] if found else None


def blocks_of(page: Path) -> list[Block]:
    return [Block(*found) for found in re.findall(r"^ *```([^\n]*)\n(.*?)^ *```$", page.read_text(), re.M | re.S)]


def commands_of(page: Path) -> list[list[str]]:
    """Return the commands of a page, in its blocks and in the text, each in words, without variables before it."""
    lines: list[str] = []
    for block in blocks_of(page):
        if block.language in ("", "sh", "sh-fails"):
            text = re.sub(r"\\\n\s*", "", block.text).splitlines()
            prompted = [line.removeprefix("$ ") for line in text if line.startswith("$ ")]
            lines += prompted or text
    prose = re.sub(r"^ *```[^\n]*\n.*?^ *```$", "", page.read_text(), flags=re.M | re.S)
    lines += [code for code in re.findall(r"`([^`\n]+)`", prose) if " " in code]
    return [words for line in lines if (words := _words(line))]


def _words(line: str) -> list[str]:
    """Return a command in words, its program without its folder; nothing if the line is none."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a sentence with an apostrophe
        return []
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    name = words[0].removeprefix(".venv/bin/") if words else ""
    return [name, *words[1:]] if name in PROGRAMS else []
