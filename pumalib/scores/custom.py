"""A user's own score: one function in one file."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pumalib.errors import DataError
from pumalib.jobs.devices import ran_out_of_memory
from pumalib.scores.estimates import Estimate, Question
from pumalib.scores.functions import load_function
from pumalib.scores.settings import CustomScoreSettings


def score(question: Question, settings: CustomScoreSettings) -> Estimate:
    """Call the user's function batch by batch.

    Raises:
        DataError: it raises, or gives another number of scores, NaN, infinity, or no numbers.
    """
    function = load_function(settings)
    size = settings.batch_size or len(question.labels)
    batches = zip(torch.split(question.images, size), torch.split(question.labels, size), strict=True)
    blocks = [
        _as_numbers(_call(function, question, images, labels, settings), len(labels), settings.method)
        for images, labels in batches
    ]
    return Estimate(np.concatenate(blocks), settings.higher_is, "as given by the function")


def _call(
    function: Callable[..., Any], question: Question, images: Tensor, labels: Tensor, settings: CustomScoreSettings
) -> Any:
    """Call the user's function; whatever it raises, the message says where."""
    try:
        return function(question.model, images, labels, **settings.options)
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        place = traceback.extract_tb(error.__traceback__)[:2][-1]  # the function itself, if it was entered
        raise DataError(
            f"expected scores from {settings.method}, it raised {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno})"
        ) from error


def _as_numbers(values: Any, count: int, method: str) -> NDArray[np.float32]:
    plain = values.detach().cpu().double() if isinstance(values, torch.Tensor) else values
    try:
        with np.errstate(over="ignore"):  # too large for float32 becomes infinite, and is refused below
            scores: NDArray[np.float32] = np.asarray(plain, np.float64).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise DataError(f"expected {count} numbers from {method}, got {type(values).__name__}: {error}") from None
    if scores.shape != (count,):
        raise DataError(f"expected {count} scores from {method}, one per image, got shape {scores.shape}")
    is_bad = ~np.isfinite(scores)
    if is_bad.any():
        raise DataError(
            f"expected finite scores from {method}, got {scores[is_bad][0]} for {is_bad.sum()} of {count} images"
        )
    return scores
