"""PGD on the cross-entropy (Madry et al. 2018)."""

from __future__ import annotations

from torch import nn

from pumalib.attacks.batch import Ball, Batch, Found
from pumalib.attacks.objectives import log_odds_against
from pumalib.attacks.search import find_adversarial
from pumalib.attacks.settings import PgdSettings


def attack(model: nn.Module, batch: Batch, ball: Ball, settings: PgdSettings) -> Found:
    """Search a wrong prediction with PGD on the cross-entropy; see `search.find_adversarial`.

    The steps follow the gradient's direction only, which is taken from `log_odds_against`.
    """
    return find_adversarial(model, batch, ball, settings, log_odds_against)
