"""PGD on the cross-entropy (Madry et al. 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from pumalib.attacks.objectives import cross_entropy
from pumalib.attacks.search import Ball, find_adversarial


def attack(model: nn.Module, images: Tensor, labels: Tensor, starts: list[Tensor | None], ball: Ball) -> Tensor:
    """Search a wrong prediction with PGD on the cross-entropy; see `search.find_adversarial`."""
    return find_adversarial(model, images, labels, starts, cross_entropy, ball)
