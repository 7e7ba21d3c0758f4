"""AIGN: the norm of the input gradient, on average over training (EasyCore)."""

from __future__ import annotations

from pumalib.errors import DataError
from pumalib.scores.settings import AignSettings
from pumalib.scores.tracked import TrackEstimate, TrackQuestion, mean_of

_NORM_NAMES = {"l2": "L2", "l1": "L1", "linf": "L-inf"}


def score(question: TrackQuestion, settings: AignSettings) -> TrackEstimate:
    """Return the mean over the epochs that count and over runs.

    Raises:
        DataError: runs that tracked it in several norms.
    """
    mean = mean_of(question, "aign", settings)
    norms = sorted({track.quantities["aign"].norm for track in question.tracks})
    if len(norms) > 1:
        raise DataError(f"expected tracks of aign in one norm, got {', '.join(norms)}; make a score for each")
    return TrackEstimate(mean, f"{_NORM_NAMES[norms[0]]} norm per unit of pixel scale [0, 1]")
