"""A user's own score: one function in one file."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pumalib.errors import ConfigError, DataError
from pumalib.scores.estimates import Estimate, Question
from pumalib.scores.settings import CustomScoreSettings


def load_function(method: str) -> Callable[..., Any]:
    """Import `module:function`.

    Raises:
        ConfigError: no such module or function.
    """
    module_name, _, name = method.partition(":")
    try:
        return getattr(importlib.import_module(module_name), name)  # type: ignore[no-any-return]
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"expected a function {name} in a module {module_name} for score method {method}: {error}; "
            "put the file in the folder you run from"
        ) from None


def score(question: Question, settings: CustomScoreSettings) -> Estimate:
    """Call the user's function batch by batch.

    Raises:
        DataError: it gives another number of scores, or NaN.
    """
    function = load_function(settings.method)
    size = settings.batch_size
    blocks = [
        _as_numbers(function(question.model, images, labels, **settings.options), len(labels), settings.method)
        for images, labels in zip(question.images.split(size), question.labels.split(size), strict=True)
    ]
    return Estimate(np.concatenate(blocks), settings.higher_is, "as given by the function")


def _as_numbers(values: Any, count: int, method: str) -> NDArray[np.float32]:
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.shape != (count,) or not np.isfinite(array).all():
        raise DataError(f"expected {count} finite scores from {method}, got shape {array.shape} or NaN")
    return array.astype(np.float32)
