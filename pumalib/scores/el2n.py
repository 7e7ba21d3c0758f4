"""EL2N: the length of the error vector early in training (Paul et al. 2021)."""

from __future__ import annotations

from pumalib.scores.settings import El2nSettings
from pumalib.scores.tracked import TrackEstimate, TrackQuestion, mean_of


def score(question: TrackQuestion, settings: El2nSettings) -> TrackEstimate:
    """Return the mean over the epochs that count and over runs."""
    return TrackEstimate(mean_of(question, "el2n", settings), "L2 norm")
