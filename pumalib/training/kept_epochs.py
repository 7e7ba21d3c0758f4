"""After which epochs weights are kept, and which epoch is best. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping

from pumalib.training.settings import AttackedRecipeSettings, RecipeSettings


def kept_epochs(settings: RecipeSettings) -> tuple[int, ...]:
    """Return the epochs, counted from 1, whose weights are kept beside the model, ascending and the last among them."""
    if settings.keep_every is None:
        return ()
    return (*range(settings.keep_every, settings.epochs, settings.keep_every), settings.epochs)


def takes_best(settings: RecipeSettings) -> bool:
    """Return whether the model is that of the best epoch rather than of the last."""
    return isinstance(settings, AttackedRecipeSettings) and settings.checkpoint == "best"


def best_epoch(robust_accuracies: Mapping[int, float]) -> int:
    """Return the epoch with the highest robust accuracy, the earliest of equals.

    Args:
        robust_accuracies: share in [0, 1] by epoch; nan: not measured.

    Raises:
        ValueError: no epoch was measured.

    Source: the early stopping of Rice, Wong & Kolter 2020, "Overfitting in adversarially robust deep learning", whose
    code keeps weights where the robust error falls below the least so far.
    """
    measured = {epoch: value for epoch, value in robust_accuracies.items() if not math.isnan(value)}
    if not measured:
        raise ValueError("expected an epoch with a robust accuracy, got none")
    return min(measured, key=lambda epoch: (-measured[epoch], epoch))
