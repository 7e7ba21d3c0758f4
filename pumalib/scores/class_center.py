"""Distance from the centre of the class in feature space: what Moderate prunes by (Xia et al. 2023)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.scores.estimates import Estimate
from pumalib.scores.features import features_of
from pumalib.scores.settings import ClassCenterSettings
from pumalib.scores.walk import Walk


def score(walk: Walk, settings: ClassCenterSettings) -> Estimate:
    """Measure how far the features of each row are from the centre of its class."""
    distances = distances_to_centers(features_of(walk), walk.pool.labels, settings.center)
    return Estimate(distances.astype(np.float32), "harder", "Euclidean distance between features")


def distances_to_centers(
    features: NDArray[np.floating], labels: NDArray[np.int64], center: str = "median"
) -> NDArray[np.float64]:
    """Return the Euclidean distance of each row from the centre of its class, [N].

    Args:
        features: [N, D].
        labels: [N] int64.
        center: `median` or `mean`, of each feature over the rows of a class.
    """
    distances = np.empty(len(features), np.float64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        own = features[rows].astype(np.float64)
        middle = np.median(own, axis=0) if center == "median" else own.mean(axis=0)  # [D]
        distances[rows] = np.linalg.norm(own - middle, axis=1)
    return distances
