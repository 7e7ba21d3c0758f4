"""No attack: the images as they are."""

from __future__ import annotations

from torch import nn

from pumalib.attacks.batch import Ball, Batch, Found
from pumalib.attacks.settings import CleanSettings


def attack(model: nn.Module, batch: Batch, ball: Ball, settings: CleanSettings) -> Found:
    """Return the images unchanged."""
    return Found(batch.images, batch.labels)
