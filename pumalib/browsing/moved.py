"""Perturbed images beside the clean ones: what a page shows of them. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Moved:
    """Perturbed images of some rows of a collection.

    Attributes:
        positions: [A] int64 ascending, which of the rows.
        points: [A, H, W, C] float, pixel scale.
        predictions: [A] int64, what the model says there.
    """

    positions: NDArray[np.int64]
    points: NDArray[np.floating]
    predictions: NDArray[np.int64]

    def take(self, positions: NDArray[np.int64], count: int) -> Moved:
        """Return what is left where the collection of `count` rows is reduced to some of them, in the order given."""
        places = np.full(count, -1)
        places[self.positions] = np.arange(len(self.positions))
        found = places[positions]
        inside = found >= 0
        return Moved(np.flatnonzero(inside), self.points[found[inside]], self.predictions[found[inside]])

    def __len__(self) -> int:
        return len(self.positions)


def differences(
    points: NDArray[np.floating], images: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return magnified differences as pictures, grey where nothing changed, and the largest change of each row.

    Args:
        points: [B, H, W, C], pixel scale.
        images: [B, H, W, C], that they come from.
    """
    change = points.astype(np.float64) - images / 255
    largest = np.abs(change).max((1, 2, 3))
    scale = np.where(largest > 0, largest, 1)[:, None, None, None]
    return np.rint(127.5 + 127.5 * change / scale).astype(np.uint8), largest.astype(np.float32)


def as_pictures(points: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Round points [B, H, W, C] in [0, 1] to pixels."""
    return np.asarray(np.rint(255 * np.clip(points, 0, 1)), np.uint8)
