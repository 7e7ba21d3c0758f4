"""Averaged weights of epochs on the way: those that are kept beside the model, and those of the best epoch."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from pumalib.data.images import LabelledImages
from pumalib.errors import DataError
from pumalib.training.history import EpochRecord
from pumalib.training.kept_epochs import best_epoch, kept_epochs, takes_best
from pumalib.training.settings import RecipeSettings

Weights = Mapping[str, Tensor]
"""A state dict, copied to memory of the CPU."""


@dataclass(frozen=True)
class Checkpoint:
    """The averaged weights after an epoch, counted from 1."""

    epoch: int
    weights: Weights


class Checkpoints:
    """Copies the averaged weights after the epochs that the settings ask for.

    Attributes:
        kept: weights by epoch.
        best: of the best epoch so far; None: not asked for, or none was measured.
    """

    def __init__(self, settings: RecipeSettings) -> None:
        self._epochs, self._takes_best = frozenset(kept_epochs(settings)), takes_best(settings)
        self.kept: dict[int, Weights] = {}
        self.best: Checkpoint | None = None

    def end_epoch(self, records: Sequence[EpochRecord], average: nn.Module) -> None:
        """Copy the average where the epoch that ended is one to keep, or the best so far.

        Args:
            records: the history up to this epoch.
            average: the averaged model.
        """
        epoch = records[-1].epoch
        if epoch in self._epochs:
            self.kept[epoch] = _copied(average)
        if self._takes_best and _is_best(records):
            self.best = Checkpoint(epoch, _copied(average))

    def state_dict(self) -> dict[str, Any]:
        """Return all weights so far."""
        best = None if self.best is None else {"epoch": self.best.epoch, "weights": dict(self.best.weights)}
        return {"kept": {epoch: dict(weights) for epoch, weights in self.kept.items()}, "best": best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        kept, best = state["kept"], state["best"]
        if not set(kept) <= self._epochs:
            raise ValueError(f"weights of epochs {sorted(kept)}")
        self.kept = {epoch: dict(weights) for epoch, weights in kept.items()}
        self.best = None if best is None else Checkpoint(operator.index(best["epoch"]), dict(best["weights"]))


def expect_validation(settings: RecipeSettings, validation: LabelledImages | None) -> None:
    """Refuse to choose the best epoch by images that are trained on.

    Raises:
        DataError: no validation images, where the best epoch is asked for.
    """
    if takes_best(settings) and validation is None:
        raise DataError(
            "expected validation images with checkpoint: best, which chooses an epoch by them, got none; give some, or "
            "take checkpoint: last"
        )


def _is_best(records: Sequence[EpochRecord]) -> bool:
    """Return whether the epoch that ended is better than all before it."""
    last = records[-1]
    return not math.isnan(last.robust_accuracy) and last.epoch == best_epoch(
        {record.epoch: record.robust_accuracy for record in records}
    )


def _copied(model: nn.Module) -> Weights:
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
