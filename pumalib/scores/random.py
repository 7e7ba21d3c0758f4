"""Random scores: what a score that knows nothing would do."""

from __future__ import annotations

from pumalib.randomness import numpy_generator
from pumalib.scores.settings import RandomSettings
from pumalib.scores.tracked import TrackEstimate, TrackQuestion


def score(question: TrackQuestion, settings: RandomSettings) -> TrackEstimate:
    """Return numbers uniform in [0, 1)."""
    return TrackEstimate(numpy_generator(question.seed, "random score").random(question.num_rows), "none")
