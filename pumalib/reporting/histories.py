"""Histories of trainings, as reports read them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pumalib.errors import ArtifactError
from pumalib.files.frames import read_frame

ACCURACIES = ("clean_accuracy", "robust_accuracy")


def read_measured(path: Path, place: str) -> pd.DataFrame:
    """Read the measured epochs of a history: `place`, clean_accuracy, robust_accuracy, split.

    Args:
        path: the file.
        place: column that says where an epoch stands: `epoch` or `images_seen`.

    Raises:
        ArtifactError: a file without these columns, or without a measured epoch.
    """
    history = read_frame(path, "a history", (place, *ACCURACIES))
    needed = (place, *ACCURACIES, "split")
    absent = [column for column in needed if column not in history]
    if absent:
        raise ArtifactError(f"expected the column {absent[0]}, found none in {path}; train this run again")
    measured = history[list(needed)].dropna(subset=list(ACCURACIES))
    if measured.empty:
        raise ArtifactError(f"expected a measured epoch, found none in {path}; train this run again")
    return measured


def draws_made(path: Path) -> int:
    """Return how many rows a training drew.

    Raises:
        ArtifactError: a file that does not say.
    """
    history = read_frame(path, "a history", ("images_seen",))
    if "images_seen" not in history or history.empty:
        raise ArtifactError(f"expected the column images_seen, found none in {path}; train this run again")
    return int(history["images_seen"].iloc[-1])
