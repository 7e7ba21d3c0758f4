"""A user's own score: one function in one file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.scores.estimates import Estimate, Question
from pumalib.scores.functions import load_function
from pumalib.scores.settings import CustomScoreSettings


def score(question: Question, settings: CustomScoreSettings) -> Estimate:
    """Call the user's function batch by batch.

    Raises:
        DataError: it gives another number of scores, NaN, infinity, or no numbers.
    """
    function = load_function(settings)
    size = settings.batch_size
    batches = zip(torch.split(question.images, size), torch.split(question.labels, size), strict=True)
    blocks = [
        _as_numbers(function(question.model, images, labels, **settings.options), len(labels), settings.method)
        for images, labels in batches
    ]
    return Estimate(np.concatenate(blocks), settings.higher_is, "as given by the function")


def _as_numbers(values: Any, count: int, method: str) -> NDArray[np.float32]:
    plain = values.detach().cpu().double() if isinstance(values, torch.Tensor) else values
    try:
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, and is refused below
            scores: NDArray[np.float32] = np.asarray(plain, np.float64).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"expected {count} numbers from {method}, got {type(values).__name__}: {error}") from None
    if scores.shape != (count,):
        raise DataError(f"expected {count} scores from {method}, one an image, got shape {scores.shape}")
    is_bad = ~np.isfinite(scores)
    if is_bad.any():
        raise DataError(
            f"expected finite scores from {method}, got {scores[is_bad][0]} for {is_bad.sum()} of {count} images"
        )
    return scores
