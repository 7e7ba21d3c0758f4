"""AIGN: the norm of the input gradient, on average over training (EasyCore)."""

from __future__ import annotations

from pumalib.scores.settings import AignSettings
from pumalib.scores.tracked import TrackEstimate, TrackQuestion, mean_of


def score(question: TrackQuestion, settings: AignSettings) -> TrackEstimate:
    """Return the mean over the epochs that count and over runs."""
    return TrackEstimate(mean_of(question, "aign", settings), "L2 norm per unit of pixel scale [0, 1]")
