"""Paths that a user gives: there, or refused with the nearest one that is."""

from __future__ import annotations

import argparse
import difflib
import os
from pathlib import Path

from pumalib.errors import ArtifactError

_NUM_NAMED = 6
_LIKENESS = 0.7


def existing(path: str) -> Path:
    """Return the path of a file; for the folder of a trained model or generator, that of its weights.

    Raises:
        ArtifactError: nothing is there, or another folder; the message names the nearest path, or what is there.
    """
    given = Path(path)
    if (given / "model.safetensors").is_file():
        return given / "model.safetensors"
    if given.is_dir():
        raise ArtifactError(f"expected a file, got the folder {path}{_contents(given)}")
    if not given.exists():
        raise ArtifactError(f"expected a file, found nothing at {path}{nearest_path(given)}")
    return given


def writable(text: str) -> Path:
    """Return the path of something to write, as a type of an option: so it is refused before the work is done.

    Raises:
        argparse.ArgumentTypeError: on the way lies a file, or a folder that cannot be written.
    """
    path = Path(text)
    reached = next(folder for folder in path.absolute().parents if folder.exists())
    if not reached.is_dir():
        raise argparse.ArgumentTypeError(f"expected a path in a folder, got {text}: {reached} is a file")
    if not os.access(reached, os.W_OK):
        raise argparse.ArgumentTypeError(f"expected to write {text}, have no right to write in {reached}")
    return path


def nearest_path(path: Path) -> str:
    """Return a hint such as ``; did you mean results/digits/results.csv?``, or what the last folder on the way has."""
    reached = Path(path.anchor)
    for part in path.relative_to(path.anchor).parts:
        if part == ".." or (reached / part).exists():
            reached /= part
            continue
        if (reached / part) == Path("results"):
            return "; no study has run in this folder yet"
        names = sorted(entry.name for entry in reached.iterdir()) if reached.is_dir() else []
        close = difflib.get_close_matches(part, names, n=1, cutoff=_LIKENESS)
        if not close:
            return _contents(reached)
        reached /= close[0]
    return f"; did you mean {reached}?"


def _contents(folder: Path) -> str:
    if not folder.is_dir():
        return f"; {folder} is no folder"
    names = sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
    rest = len(names) - _NUM_NAMED
    listed = ", ".join(names[:_NUM_NAMED]) + (f" and {rest} more" if rest > 0 else "")
    return f"; {folder} has {listed or 'nothing'}"
