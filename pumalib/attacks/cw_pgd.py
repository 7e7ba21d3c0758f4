"""PGD on the Carlini-Wagner margin loss, the "C&W" of the adversarial-training literature (not the L2 Adam attack)."""

from __future__ import annotations

from torch import Tensor, nn

from pumalib.attacks.objectives import cw_margin
from pumalib.attacks.search import Ball, find_adversarial


def attack(model: nn.Module, images: Tensor, labels: Tensor, starts: list[Tensor | None], ball: Ball) -> Tensor:
    """Search a wrong prediction with PGD on the margin loss; see `search.find_adversarial`."""
    return find_adversarial(model, images, labels, starts, cw_margin, ball)
