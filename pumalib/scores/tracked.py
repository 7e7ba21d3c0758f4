"""What every tracked score gets and gives, and means over tracked epochs. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.scores.settings import TrackedScore
from pumalib.tracks.file import Quantity, Track


@dataclass(frozen=True)
class TrackQuestion:
    """A pool to score by what was gathered about it.

    Attributes:
        tracks: of the runs named, in their order; none for `random`.
        num_rows: rows of the pool, N.
        seed: for methods that draw numbers.
    """

    tracks: Sequence[Track]
    num_rows: int
    seed: int


@dataclass(frozen=True)
class TrackEstimate:
    """Scores of a whole pool; a higher one is harder.

    Attributes:
        score: [N] float64; ignored where not valid.
        unit: unit of the score.
        valid: [N] bool; None: every row has a score.
        columns: further columns, each [N].
    """

    score: NDArray[np.float64]
    unit: str
    valid: NDArray[np.bool_] | None = None
    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def values_within(track: Track, name: str, settings: TrackedScore) -> NDArray[Any]:
    """Return [E, N], a quantity after the epochs that count.

    Raises:
        DataError: the quantity was not tracked, or in none of these epochs.
    """
    if name not in track.quantities:
        raise DataError(f"expected a track that holds {name}, got {', '.join(track.names) or 'none'}; track {name}")
    quantity: Quantity = track.quantities[name]
    last = settings.last_epoch or np.inf
    counts = (quantity.epochs >= settings.first_epoch) & (quantity.epochs <= last)
    if not counts.any():
        raise DataError(
            f"expected a tracked epoch within first_epoch {settings.first_epoch} and last_epoch {settings.last_epoch}, "
            f"got {name} after epochs {quantity.epochs.tolist()}; move the window"
        )
    return quantity.values[counts]


def mean_over_runs(per_run: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the mean over runs, [N]; every run weighs the same, whatever the number of its epochs."""
    mean: NDArray[np.float64] = np.mean(per_run, axis=0)
    return mean


def mean_of(question: TrackQuestion, name: str, settings: TrackedScore) -> NDArray[np.float64]:
    """Return the mean of a quantity over the epochs that count, then over runs, [N]."""
    return mean_over_runs([values_within(track, name, settings).mean(0, np.float64) for track in question.tracks])
