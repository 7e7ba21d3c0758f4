"""Minimum-norm attacks: the norm found is the margin, and one table tells robust accuracy at every epsilon."""

import numpy as np
import pytest
import torch
from linear_truth import BOX, closed_form_margins, exact_margins, linear_model, predictions, random_images, wrong_labels
from torch import nn

from pumalib.attacks.settings import CwPgdSettings, MinimumNormSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.evaluation.evaluate import evaluate

ATTACK = MinimumNormSettings(method="minimum_norm")


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("num_classes", [2, 10])
def test_norm_found_is_the_closed_form_margin_of_a_linear_model(norm, num_classes):
    model = linear_model(num_classes=num_classes)
    images = random_images(200)
    labels = predictions(model, images)
    margins = closed_form_margins(model, images, labels, norm)
    epsilon = float(np.median(margins))
    threat = ThreatSettings(norm=norm, epsilon=epsilon)
    table = evaluate(model, images, labels, ATTACK, threat=threat, clip=None)
    np.testing.assert_allclose(table.perturbation_norm, margins, rtol=2e-3)
    assert (table.perturbation_norm >= margins * (1 - 1e-5)).all()
    is_clear = np.abs(margins / epsilon - 1) > 0.003
    assert is_clear.mean() > 0.97
    assert (table.success == (margins < epsilon))[is_clear].all()


def test_robust_accuracy_is_that_of_the_norms_at_every_epsilon_and_near_the_truth_in_the_box():
    model = linear_model(scale=5.0)
    images = random_images(80)
    labels = predictions(model, images)
    labels[60:] = wrong_labels(model, images)[60:]
    margins = np.maximum(exact_margins(model, images, labels, "linf", BOX), 0)
    norms = []
    for epsilon in np.quantile(margins[:60], [0.1, 0.5, 0.9]):
        table = evaluate(model, images, labels, ATTACK, threat=ThreatSettings(epsilon=float(epsilon)))
        norms.append(table.perturbation_norm)
        right = table.clean_prediction == table.label
        assert table.robust_accuracy == (right & (table.perturbation_norm >= np.float32(epsilon))).mean()
        assert table.robust_accuracy == pytest.approx((margins >= epsilon).mean(), abs=0.02)
    np.testing.assert_array_equal(norms[0], norms[1])
    np.testing.assert_array_equal(norms[0], norms[2])


def test_wrong_images_have_norm_0_and_images_without_a_way_out_inf():
    always_zero = nn.Linear(4, 2).eval()
    nn.init.zeros_(always_zero.weight)
    always_zero.bias.data = torch.tensor([2.0, 0.0])
    table = evaluate(always_zero, torch.full((2, 4), 0.5), [0, 1], ATTACK, threat=ThreatSettings(epsilon=9.0))
    assert table.perturbation_norm.tolist() == [np.inf, 0.0]
    assert table.adversarial_prediction.tolist() == [0, 0]
    assert table.success.tolist() == [False, False]


def test_points_are_really_across_on_a_net_and_the_batch_size_does_not_matter(digits, digits_net):
    images, labels = digits[0][1000:1300], digits[1][1000:1300]
    threat = ThreatSettings(epsilon=0.1)
    table = evaluate(digits_net, images, labels, ATTACK, threat=threat)
    right = table.clean_prediction == labels.numpy()
    assert np.isfinite(table.perturbation_norm).all()
    assert (table.perturbation_norm[right] > 0).all()
    assert not table.perturbation_norm[~right].any()
    assert (table.success == (right & (table.perturbation_norm < np.float32(0.1)))).all()
    other = evaluate(digits_net, images, labels, ATTACK.model_copy(update={"batch_size": 17}), threat=threat)
    np.testing.assert_allclose(other.perturbation_norm, table.perturbation_norm, rtol=0.01, atol=1e-6)


def test_it_agrees_with_a_fixed_epsilon_attack_on_a_net(digits, digits_net):
    images, labels = digits[0][1000:1300], digits[1][1000:1300]
    for epsilon in (0.03, 0.06, 0.1):
        threat = ThreatSettings(epsilon=epsilon)
        shortest = evaluate(digits_net, images, labels, ATTACK, threat=threat).robust_accuracy
        cw = evaluate(digits_net, images, labels, CwPgdSettings(method="cw_pgd"), threat=threat).robust_accuracy
        assert 0.05 < cw < 0.95
        assert shortest == pytest.approx(cw, abs=0.08)
