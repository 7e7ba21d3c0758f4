"""Passes of attacks: planned as they are made."""

import pytest
import torch
from torch import nn

from pumalib.attacks.settings import CleanSettings, CwPgdSettings, PgdSettings, SquareSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.evaluation.evaluate import evaluate
from pumalib.planning.typical import Withstood, attack_passes, mean_passes, withstood
from pumalib.training.settings import NaturalSettings, TradesSettings


class CountingLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.passes = nn.Linear(4, 3), 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.passes += len(images)
        logits: torch.Tensor = self.layer(images)
        if images.requires_grad:
            logits.register_hook(lambda gradient: self._add(len(gradient)))
        return logits

    def _add(self, count: int) -> None:
        self.passes += count


@pytest.mark.parametrize(
    "attack", [CwPgdSettings(steps=7), PgdSettings(steps=3, restarts=2), SquareSettings(queries=9), CleanSettings()]
)
def test_an_image_that_withstands_makes_the_passes_that_are_planned(attack: CwPgdSettings) -> None:
    torch.manual_seed(0)
    model, images = CountingLinear().eval(), torch.rand(40, 4)
    with torch.no_grad():
        labels = model.layer(images).argmax(1)
    evaluate(model, images, labels, attack, threat=ThreatSettings(epsilon=1e-7))
    door = model.passes - 40 * attack_passes(attack)  # a few images are looked at before
    assert 0 <= door <= 5 * 16


def test_images_that_do_not_withstand_leave_early() -> None:
    attack = CwPgdSettings(steps=40)
    assert attack_passes(attack) == 82
    assert mean_passes(attack, Withstood(1.0, 1.0)) == 82
    assert mean_passes(attack, Withstood(0.5, 0.5)) == 1 + 0.5 * (0.5 * 81 + 0.5 * 8)
    assert mean_passes(attack, Withstood(0.0, 1.0)) == 1  # the clean look alone


def test_models_that_never_saw_an_attack_withstand_less() -> None:
    assert withstood(NaturalSettings()).robust < withstood(TradesSettings()).robust == withstood(None).robust
