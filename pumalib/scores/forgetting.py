"""Forgetting: how often a row that was learned is misclassified again (Toneva et al. 2019)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.scores.settings import ForgettingSettings
from pumalib.scores.tracked import TrackEstimate, TrackQuestion, mean_over_runs, values_within


def score(question: TrackQuestion, settings: ForgettingSettings) -> TrackEstimate:
    """Count forgetting over the tracked epochs, and take the mean over runs."""
    counts = [forgetting_counts(values_within(track, "correct", settings)) for track in question.tracks]
    return TrackEstimate(mean_over_runs(counts), "times forgotten")


def forgetting_counts(correct: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Count the steps from right to wrong of each row.

    A row that is never right was never learned: it gets one more than any row can be forgotten, so that it ranks as
    the hardest rather than among the easiest.

    Args:
        correct: [E, N], whether each row was right after each epoch, in order.

    Returns:
        [N] float64.

    Example:
        >>> forgetting_counts(np.array([[1, 1, 0], [1, 0, 0], [1, 1, 0], [1, 0, 0]], bool)).tolist()
        [0.0, 2.0, 3.0]
    """
    counts = (correct[:-1] & ~correct[1:]).sum(0).astype(np.float64)
    most = len(correct) // 2
    return np.where(correct.any(0), counts, most + 1)
