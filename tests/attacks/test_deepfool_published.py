"""DeepFool as published: against foolbox point by point, and by hand."""

import numpy as np
import pytest
import torch
from linear_truth import closed_form_margins, linear_model, predictions, random_images
from test_margins_of_a_net import foolbox_points, lengths, predict
from torch import nn

from pumalib.attacks.deepfool import deepfool_margins
from pumalib.attacks.deepfool_published import published_deepfool_margins


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("clip", "bounds"), [(None, (-1e3, 1e3)), ((0.0, 1.0), (0.0, 1.0))])
def test_each_point_is_that_of_foolbox(digits, digits_net, norm, clip, bounds):
    images, labels = digits[0][1000:1200], digits[1][1000:1200].clone()
    labels[::5] = (labels[::5] + 3) % 10  # foolbox leaves misclassified images where they are
    points, crossed = foolbox_points(digits_net, images, labels, norm, bounds)
    table = published_deepfool_margins(digits_net, images, labels, norm=norm, clip=clip, keep_adversarial=True)
    np.testing.assert_array_equal(table.converged, crossed)
    np.testing.assert_allclose(table.margin, lengths((points - images).numpy(), norm), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(table.adversarial_images, points.numpy(), atol=2e-4)
    is_wrong = predict(digits_net, images) != labels.numpy()
    assert 0.1 < is_wrong.mean() < 0.5
    assert (table.margin[is_wrong] == 0).all()
    assert (table.margin[~is_wrong] > 0).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_one_step_crosses_the_boundary_of_a_linear_model_by_the_overshoot(norm):
    model, images = linear_model(), random_images(50)
    labels = predictions(model, images)
    expected = closed_form_margins(model, images, labels, norm)
    table = published_deepfool_margins(model, images, labels, norm=norm, clip=None, overshoot=0.1)
    np.testing.assert_allclose(table.margin, 1.1 * (expected + 1e-4), rtol=1e-4)
    assert (table.iterations == 1).all()


def test_ten_classes_are_looked_at_with_the_predicted_one():
    # Of 12 classes the tenth most likely other one has by far the nearest boundary; the ninth is looked at, it is not.
    model = nn.Linear(1, 12)
    model.weight.data = torch.zeros(12, 1)
    model.bias.data = -torch.arange(12.0)
    model.weight.data[1, 0], model.weight.data[10, 0] = 1.0, 1000.0
    margins = [
        float(published_deepfool_margins(model.eval(), [[0.0]], [0], clip=None, **options).margin[0])
        for options in ({}, {"num_candidates": 10})
    ]
    assert margins == pytest.approx([1.02 * (1 + 1e-4), 1.02 * (0.01 + 1e-4)], rel=1e-4)


def test_steps_through_a_kink_are_those_of_the_algorithm_by_hand():
    # The lead of class 1 is g(x) = -1 + 2x - 1.5 max(0, x - 0.4): two steps from x = 0.2, of slopes 2 and 0.5.
    hidden, out = nn.Linear(1, 2), nn.Linear(2, 2)
    hidden.weight.data, hidden.bias.data = torch.tensor([[1.0], [1.0]]), torch.tensor([10.0, -0.4])
    out.weight.data, out.bias.data = torch.tensor([[0.0, 0.0], [2.0, -1.5]]), torch.tensor([0.0, -21.0])
    first = 0.6 / 2 + 1e-4
    at = 0.2 + 1.02 * first
    second = (1 - 2 * at + 1.5 * (at - 0.4)) / 0.5 + 1e-4
    for norm in ("linf", "l2"):
        model = nn.Sequential(hidden, nn.ReLU(), out).eval()
        table = published_deepfool_margins(model, [[0.2]], [0], norm=norm, clip=None)
        assert table.iterations.tolist() == [2]
        assert table.margin.tolist() == pytest.approx([1.02 * (first + second)], rel=1e-4)


def test_rows_that_do_not_cross_say_so_and_ours_are_never_longer(digits, digits_net):
    images, labels = digits[0][1000:1200], digits[1][1000:1200]
    short = published_deepfool_margins(digits_net, images, labels, max_iterations=1)
    assert 0 < (~short.converged).sum() < 200
    table, ours = (measure(digits_net, images, labels) for measure in (published_deepfool_margins, deepfool_margins))
    is_right = (table.prediction == labels.numpy()) & table.converged & ours.converged
    assert is_right.mean() > 0.9
    assert (ours.margin[is_right] <= table.margin[is_right] * 1.05).mean() > 0.95
    assert ours.margin[is_right].mean() < table.margin[is_right].mean()


def test_margins_do_not_depend_on_the_batch(digits, digits_net):
    images, labels = digits[0][1000:1060], digits[1][1000:1060]
    whole, split = (published_deepfool_margins(digits_net, images, labels, batch_size=size) for size in (60, 7))
    np.testing.assert_allclose(split.margin, whole.margin, rtol=2e-3, atol=1e-5)
