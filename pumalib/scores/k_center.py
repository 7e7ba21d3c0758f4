"""The greedy order of k-center in feature space (Sener & Savarese 2018): rows that cover the others come first.

The first so many rows of the order are the greedy solution of that size, so one order serves every fraction.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pumalib.randomness import numpy_generator
from pumalib.scores.estimates import Estimate
from pumalib.scores.features import features_of
from pumalib.scores.settings import KCenterSettings
from pumalib.scores.walk import Walk


def score(walk: Walk, settings: KCenterSettings) -> Estimate:
    """Place the rows of a pool, in one order or in one of each class; a later place is an easier row."""
    features, labels = features_of(walk), walk.pool.labels
    keys = labels if settings.scope == "per_class" else np.zeros_like(labels)
    groups = [np.flatnonzero(keys == key) for key in np.unique(keys)]
    places = np.empty(len(labels), np.float32)
    with tqdm(total=len(labels), desc="placing (k_center)", unit="row", disable=None) as bar:
        for rows in groups:
            first = int(numpy_generator(settings.seed, "k-center", int(rows[0])).integers(len(rows)))
            places[rows[greedy_order(features[rows], first, settings.centers)]] = np.arange(len(rows))
            bar.update(len(rows))
    return Estimate(places, "easier", "place in the greedy order")


def greedy_order(features: NDArray[np.floating], first: int, centers: int | None = None) -> NDArray[np.int64]:
    """Return the rows in the order in which k-center takes them, [N].

    Each next row is the farthest from the nearest of those before it; among equals the first. It costs N distances a
    row that is placed.

    Args:
        features: [N, D].
        first: row to start at.
        centers: rows to place so; the others follow by their distance from the nearest of these, farthest first.
            None: all.
    """
    points = features.astype(np.float64)
    squares = np.einsum("ij,ij->i", points, points)
    placed = min(len(points), centers or len(points))
    order = np.empty(placed, np.int64)
    nearest = np.full(len(points), np.inf)  # squared distance from the nearest placed row; -inf where placed
    for place in range(placed):
        order[place] = row = first if place == 0 else int(np.argmax(nearest))
        np.minimum(nearest, np.maximum(squares - 2 * (points @ points[row]) + squares[row], 0), out=nearest)
        nearest[row] = -np.inf
    others = np.flatnonzero(np.isfinite(nearest))
    return np.concatenate([order, others[np.argsort(-nearest[others], kind="stable")]])
