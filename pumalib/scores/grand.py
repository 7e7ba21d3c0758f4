"""GraNd: the norm of the gradient by the weights early in training (Paul et al. 2021)."""

from __future__ import annotations

from pumalib.scores.settings import GrandSettings
from pumalib.scores.tracked import TrackEstimate, TrackQuestion, mean_of


def score(question: TrackQuestion, settings: GrandSettings) -> TrackEstimate:
    """Return the mean over the epochs that count and over runs."""
    return TrackEstimate(mean_of(question, "grand", settings), "L2 norm")
