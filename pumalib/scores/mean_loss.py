"""The cross-entropy, on average over training."""

from __future__ import annotations

from pumalib.scores.settings import MeanLossSettings
from pumalib.scores.tracked import TrackEstimate, TrackQuestion, mean_of


def score(question: TrackQuestion, settings: MeanLossSettings) -> TrackEstimate:
    """Return the mean over the epochs that count and over runs."""
    return TrackEstimate(mean_of(question, "loss", settings), "nats")
