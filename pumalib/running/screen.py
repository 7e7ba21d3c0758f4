"""Lines that stay, and in a terminal one line below them that changes."""

from __future__ import annotations

import shutil
import time
from typing import TextIO

from pumalib.files.plain_text import visible

_BAR_WIDTH = 20
_CLEAR = "\r\x1b[K"


class Screen:
    """Where a run is shown.

    Args:
        stream: to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.is_terminal = stream.isatty()
        self._status = ""
        self.last_line = time.time()

    def line(self, text: str) -> None:
        """Write a line that stays."""
        self.last_line = time.time()
        clear = _CLEAR if self._status else ""
        self._stream.write(f"{clear}{visible(text)}\n{self._status}")
        self._stream.flush()

    def status(self, share: float, text: str) -> None:
        """Change the last line of a terminal: a bar and some words; nothing elsewhere."""
        if self.is_terminal:
            filled = round(_BAR_WIDTH * share)
            room = shutil.get_terminal_size((100, 24)).columns - 1
            bar = f"[{'=' * filled}{' ' * (_BAR_WIDTH - filled)}] "
            self._status = (bar + visible(text))[:room]
            self._stream.write(_CLEAR + self._status)
            self._stream.flush()

    def end(self) -> None:
        """Take the last line away."""
        if self._status:
            self._status = ""
            self._stream.write(_CLEAR)
            self._stream.flush()
