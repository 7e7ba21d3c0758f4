"""Screening in half precision: what float32 does not confirm is attacked in float32 as if nothing had come before."""

import numpy as np
import pytest
import torch
from torch import nn

from pumalib.attacks import cw_pgd
from pumalib.attacks.batch import Ball, Batch
from pumalib.attacks.settings import CwPgdSettings, PgdSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import ConfigError
from pumalib.evaluation.evaluate import evaluate
from tests.attacks.linear_truth import closed_form_margins, linear_model, predictions, random_images

ATTACKS = {"cw_pgd": CwPgdSettings, "pgd": PgdSettings}


class InHalf(nn.Module):
    """A linear network that answers otherwise where its layer computes in bfloat16, and counts images by precision."""

    def __init__(self, linear, answer):
        super().__init__()
        self.linear, self.answer = linear, answer
        self.seen = {torch.float32: 0, torch.bfloat16: 0}

    def forward(self, points):
        logits = self.linear(points)
        self.seen[logits.dtype] += len(points)
        return self.answer(logits) if logits.dtype == torch.bfloat16 else logits


ANSWERS = {
    "sees no gradient": lambda logits: logits * 0 + logits.detach(),
    "is always wrong": lambda logits: -logits,
    "is not finite": lambda logits: logits * torch.nan,
    "has gradients that are not finite": lambda logits: logits + (logits * 0).sqrt(),
}


def both(model, images, labels, method="cw_pgd", norm="linf", epsilon=0.05, **options):
    """Return the tables of an attack without screening and with it."""
    threat = ThreatSettings(norm=norm, epsilon=epsilon)
    settings = [ATTACKS[method](screening=screening, **options) for screening in (None, "bfloat16")]
    return [evaluate(model, images, labels, each, threat=threat, seed=5) for each in settings]


@pytest.mark.parametrize("restarts", [1, 3])
@pytest.mark.parametrize("method", ATTACKS)
@pytest.mark.parametrize(("norm", "epsilons"), [("linf", (0.06, 0.1)), ("l2", (0.4, 0.6))])
def test_every_image_called_robust_withstands_the_float32_attack(digits, digits_net, method, norm, epsilons, restarts):
    images, labels = digits[0][1000:1200], digits[1][1000:1200]
    for epsilon in epsilons:
        plain, screened = both(digits_net, images, labels, method, norm, epsilon, steps=10, restarts=restarts)
        assert 0.1 < plain.success.mean() < 0.95
        assert (screened.success | ~plain.success).all()
        np.testing.assert_array_equal(screened.clean_prediction, plain.clean_prediction)
        is_robust = screened.adversarial_prediction == labels.numpy()
        np.testing.assert_allclose(screened.perturbation_norm[is_robust], plain.perturbation_norm[is_robust], rtol=1e-4)
        assert (screened.success & plain.success).sum() > 0.95 * plain.success.sum()


@pytest.mark.parametrize("answer", ["is always wrong", "is not finite", "has gradients that are not finite"])
@pytest.mark.parametrize("method", ATTACKS)
def test_a_false_alarm_of_half_precision_changes_nothing(method, answer):
    model, images = linear_model(scale=0.2), random_images(60)
    labels = predictions(model, images)
    plain, screened = both(InHalf(model, ANSWERS[answer]).eval(), images, labels, method, steps=5)
    assert 0.1 < plain.robust_accuracy < 0.9
    assert plain.clean_accuracy == screened.clean_accuracy == 1.0
    assert (screened.success | ~plain.success).all()
    if answer != "has gradients that are not finite":
        np.testing.assert_array_equal(screened.adversarial_prediction, plain.adversarial_prediction)
        np.testing.assert_array_equal(screened.perturbation_norm, plain.perturbation_norm)


def test_what_half_precision_cannot_fool_is_fooled_in_float32():
    model, images = linear_model(num_classes=2), random_images(60, low=0.3, high=0.7)
    labels = predictions(model, images)
    margins = closed_form_margins(model, images, labels, "linf")
    epsilon = float(np.median(margins))
    masked = InHalf(model, ANSWERS["sees no gradient"]).eval()
    plain, screened = both(masked, images, labels, epsilon=epsilon, steps=40)
    is_clear = abs(margins - epsilon) > 1e-4
    np.testing.assert_array_equal(screened.success[is_clear], (margins < epsilon)[is_clear])
    np.testing.assert_array_equal(plain.success, screened.success)


def test_clean_predictions_are_those_of_float32():
    """Of weights 1,000 and 1,000.5, bfloat16 makes the same number, and then both logits are level."""
    model = nn.Linear(1, 2, bias=False).eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1000.0], [1000.5]]))
    images = torch.linspace(0.5, 0.9, 9)[:, None]
    plain, screened = both(model, images, torch.ones(9, dtype=torch.int64), steps=3)
    assert plain.clean_accuracy == screened.clean_accuracy == screened.robust_accuracy == 1.0


@pytest.mark.parametrize("far", [True, False])
def test_images_that_are_confirmed_cost_one_pass_in_float32_and_the_others_the_whole_attack(far):
    """The start is at the image; a step as long as the ball reaches the farthest point of a linear network."""
    counted = InHalf(linear_model(num_classes=2), lambda logits: logits).eval()
    images = random_images(60, low=0.3, high=0.7)
    margins = closed_form_margins(counted.linear, images, predictions(counted.linear, images), "linf")
    images, margins = images[margins > 0.01], margins[margins > 0.01]  # nearer ones are wrong in half precision
    labels, count = predictions(counted.linear, images), len(images)
    counted.seen = dict.fromkeys(counted.seen, 0)
    epsilon = 1.2 * margins.max() if far else 0.5 * margins.min()
    settings = CwPgdSettings(steps=6, step_size=float(epsilon), random_start=False, screening="bfloat16")
    found = cw_pgd.attack(counted, Batch(images, labels, np.arange(count), 0), Ball("linf", float(epsilon)), settings)
    assert (found.prediction != labels).all().item() is far
    # Far: two looks in half precision, at the image and after the step, and one in float32. Near: seven of each.
    assert counted.seen == {torch.bfloat16: count * (2 if far else 7), torch.float32: count * (1 if far else 7)}


def test_only_bfloat16_screens():
    with pytest.raises(ConfigError, match="screening"):
        CwPgdSettings(screening="float16")
