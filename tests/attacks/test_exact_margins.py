"""Margins of a ReLU network against exact ones, which a mixed-integer program finds (SciPy's HiGHS)."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from benchmarks.relu_program import exact_distance, forward, layers_of
from pumalib.attacks.deepfool import deepfool_margins
from pumalib.attacks.fast_margin import fast_margins
from pumalib.attacks.refined_margin import refined_margins


@pytest.fixture(scope="module")
def net(digits):
    """Return a small ReLU network after some adversarial training on the first thousand digits, in eval mode."""
    images, labels = digits[0][:1000], digits[1][:1000]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 10)
        )
        optimizer = torch.optim.Adam(model.parameters(), 5e-3)
        for _ in range(300):
            rows = torch.randint(1000, (64,))
            start = images[rows].requires_grad_(True)
            (gradient,) = torch.autograd.grad(F.cross_entropy(model(start), labels[rows]), start)
            optimizer.zero_grad()
            F.cross_entropy(model((start + 0.08 * gradient.sign()).clamp(0, 1)), labels[rows]).backward()
            optimizer.step()
    return model.eval().requires_grad_(False)


def exact(model, images, labels, bounds):
    layers, right = layers_of(model), model(images).argmax(1) == labels
    pixels = images.flatten(1).double().numpy()
    return np.array(
        [
            exact_distance(layers, pixels[i], int(labels[i]), bool(right[i]), float(bounds[i]), 60.0)
            for i in range(len(images))
        ]
    )


def test_estimates_are_never_below_the_exact_distance_and_refined_ones_are_near_it(digits, net):
    images, labels = digits[0][1000:1016], digits[1][1000:1016].clone()
    labels[::6] = (labels[::6] + 1) % 10
    # Well above the refined margin: the program has to find the optimum by itself.
    refined = np.abs(refined_margins(net, images, labels).margin)
    distance, lower = exact(net, images, labels, 1.5 * refined).T
    np.testing.assert_allclose(lower, distance, rtol=1e-4)
    excess = {
        estimate: np.abs(estimate(net, images, labels).margin) / distance - 1
        for estimate in (deepfool_margins, fast_margins, refined_margins)
    }
    assert min(values.min() for values in excess.values()) > -1e-4
    assert excess[deepfool_margins].mean() > 0.01
    assert excess[refined_margins].mean() < 0.01
    assert np.quantile(excess[refined_margins], 0.95) < 0.05


def test_the_program_agrees_with_a_network_of_one_unit():
    """Class 1 wins where max(x - 0.5, 0) > 0.2, so at x = 0.7; class 0 elsewhere."""
    layers = [(np.array([[1.0]]), np.array([-0.5])), (np.array([[0.0], [1.0]]), np.array([0.2, 0.0]))]
    assert forward(layers, np.array([0.9])) == pytest.approx([0.2, 0.4])
    for pixel, label, is_right in ((0.9, 1, True), (0.3, 0, True), (0.3, 1, False)):
        found = exact_distance(layers, np.array([pixel]), label, is_right, 1.0, 10.0)
        assert found == pytest.approx((abs(0.7 - pixel),) * 2, abs=1e-5)
    assert exact_distance(layers, np.array([0.3]), 0, True, 0.1, 10.0)[0] == 0.1
