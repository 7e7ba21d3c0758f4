"""PGD on the Carlini-Wagner margin loss, the "C&W" of the adversarial-training literature (not the L2 Adam attack)."""

from __future__ import annotations

from torch import nn

from pumalib.attacks.batch import Ball, Batch, Found
from pumalib.attacks.objectives import cw_margin
from pumalib.attacks.search import find_adversarial
from pumalib.attacks.settings import CwPgdSettings


def attack(model: nn.Module, batch: Batch, ball: Ball, settings: CwPgdSettings) -> Found:
    """Search a wrong prediction with PGD on the margin loss; see `search.find_adversarial`."""
    return find_adversarial(model, batch, ball, settings, cw_margin)
