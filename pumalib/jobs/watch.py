"""Content of the files that a user owns: the driver looks at them, and its jobs are told what it saw."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pumalib.files.artifacts import to_json, write_text
from pumalib.files.watched import content_digest

_TOLD = "told.json"


class Watch:
    """Looks at each file or folder once a run.

    Args:
        folder: where digests are remembered from run to run, and told to jobs.
        is_driver: whether this process looks itself; a job looks only at what it was not told of.
    """

    def __init__(self, folder: Path, is_driver: bool) -> None:
        self._folder = folder
        self._told: dict[str, str] = {} if is_driver else _read(folder / _TOLD)

    def digests(self, paths: Iterable[str]) -> dict[str, str]:
        """Return the content digest of each file or folder, by its path as the study names it.

        Raises:
            PumaError: one that cannot be read, or is no file or folder.
        """
        wanted = list(paths)
        new = {path: content_digest(path, self._folder) for path in wanted if path not in self._told}
        if new:
            self._told |= new
            write_text(self._folder / _TOLD, to_json(self._told))
        return {path: self._told[path] for path in wanted}


def _read(path: Path) -> dict[str, str]:
    try:
        told: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
