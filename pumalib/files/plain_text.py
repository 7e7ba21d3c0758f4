"""Text from elsewhere, made harmless to look at: what would command a terminal is shown instead of sent."""

from __future__ import annotations

import unicodedata
from typing import TextIO


def visible(text: str) -> str:
    """Return text with control characters, and those that turn the direction of writing, spelled as `\\u001b`.

    Line ends and tabs stay.
    """
    if text.isprintable():
        return text
    return "".join(character if _is_plain(character) else _spelled(character) for character in text)


def _is_plain(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")


def _spelled(character: str) -> str:
    """Spell a character as Python and JSON do."""
    number = ord(character)
    return f"\\u{number:04x}" if number < 1 << 16 else f"\\U{number:08x}"


class PlainStream:
    """A text stream that only ever gets visible text.

    Args:
        stream: that it goes to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write visible text; return the number of characters that were given."""
        self._stream.write(visible(text))
        return len(text)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)
