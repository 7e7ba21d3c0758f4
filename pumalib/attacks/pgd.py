"""PGD on the cross-entropy (Madry et al. 2018)."""

from __future__ import annotations

from torch import Tensor, nn

from pumalib.attacks.objectives import log_odds_against
from pumalib.attacks.search import Ball, find_adversarial


def attack(model: nn.Module, images: Tensor, labels: Tensor, starts: list[Tensor | None], ball: Ball) -> Tensor:
    """Search a wrong prediction with PGD on the cross-entropy; see `search.find_adversarial`.

    The steps follow the gradient's direction only, which is taken from `log_odds_against`.
    """
    return find_adversarial(model, images, labels, starts, log_odds_against, ball)
