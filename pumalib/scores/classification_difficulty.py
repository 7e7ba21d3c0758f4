"""Classification difficulty: the share of epochs, or of visits, in which a row is misclassified (PUMA eq. 1)."""

from __future__ import annotations

import numpy as np

from pumalib.errors import DataError
from pumalib.scores.settings import ClassificationDifficultySettings
from pumalib.scores.tracked import TrackEstimate, TrackQuestion, mean_over_runs, values_within


def score(question: TrackQuestion, settings: ClassificationDifficultySettings) -> TrackEstimate:
    """Return shares in [0, 1]; over tracked epochs where every run has them and `counted` does not say otherwise."""
    by_epoch = settings.counted != "visits" and all("correct" in track.quantities for track in question.tracks)
    if by_epoch or settings.counted == "epochs":
        shares = [(~values_within(track, "correct", settings)).mean(0, np.float64) for track in question.tracks]
        return TrackEstimate(mean_over_runs(shares), "share of tracked epochs")
    return _by_visit(question)


def _by_visit(question: TrackQuestion) -> TrackEstimate:
    """Pool the visits of all runs (a choice of ours); rows that none visited have no score."""
    count, wrong = np.zeros(question.num_rows, np.int64), np.zeros(question.num_rows, np.int64)
    for track in question.tracks:
        if track.visits is None:
            raise DataError(f"expected a track that holds visits, got {', '.join(track.names) or 'none'}; track visits")
        count += track.visits.count
        wrong += track.visits.wrong
    return TrackEstimate(wrong / np.maximum(count, 1), "share of visits", count > 0, {"count": count})
