"""Refined margins: exact where the model is linear, shorter than DeepFool's and FMN's where it is not."""

import warnings

import numpy as np
import pytest
import torch
from linear_truth import (
    BOX,
    closed_form_margins,
    exact_margins,
    linear_model,
    predictions,
    random_images,
    wrong_labels,
)

from pumalib.attacks.deepfool import deepfool_margins
from pumalib.attacks.refined_margin import refined_margins

NORMS = ("linf", "l2")


@pytest.mark.parametrize("clip", [None, BOX])
@pytest.mark.parametrize("norm", NORMS)
def test_refined_margin_of_linear_model_is_distance_to_nearest_hyperplane(norm, clip):
    model = linear_model()
    images = random_images(60, low=0.4, high=0.6)
    labels = predictions(model, images)
    table = refined_margins(model, images, labels, norm=norm, clip=clip, bisection_steps=25)
    np.testing.assert_allclose(table.margin, closed_form_margins(model, images, labels, norm), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("rank", [0, 1, 4])
def test_refined_margin_at_the_edge_of_the_box_is_never_below_the_program_and_near_it(norm, rank):
    model = linear_model()
    images = random_images(60).mul(3).sub(1).clamp(*BOX)  # two thirds of the pixels are 0 or 1
    labels = wrong_labels(model, images, rank)
    table = refined_margins(model, images, labels, norm=norm, bisection_steps=25, keep_adversarial=True)
    exact = exact_margins(model, images, labels, norm, BOX)
    reachable = np.isfinite(exact)
    excess = table.margin[reachable] / exact[reachable] - 1
    assert reachable.mean() > 0.8
    assert excess.min() > -2e-4
    assert excess.mean() < 0.03
    assert table.adversarial_images.min() >= BOX[0]
    assert table.adversarial_images.max() <= BOX[1]


@pytest.mark.parametrize("norm", NORMS)
def test_a_few_steps_are_tighter_than_deepfool_on_either_side_and_none_are_deepfool(digits, digits_net, norm):
    images, labels = digits[0][1000:1100], digits[1][1000:1100].clone()
    labels[::5] = (labels[::5] + 3) % 10
    tables = [
        refined_margins(digits_net, images, labels, norm=norm, refinement_steps=steps, restarts=0)
        for steps in (0, 3, 20)
    ]
    deepfool = deepfool_margins(digits_net, images, labels, norm=norm)
    np.testing.assert_array_equal(tables[0].margin, deepfool.margin)
    right = predictions(digits_net, images) == labels
    for side in (right, ~right):
        means = [np.abs(table.margin[side]).mean() for table in tables]
        assert means[1] < means[0] * 0.99
        assert means[2] < means[1] * 1.005  # in L2 three steps are as good as twenty here
    assert np.mean(np.abs(tables[2].margin) > np.abs(deepfool.margin) * 1.001) < 0.03
    assert (tables[1].iterations == deepfool.iterations + 3).all()
    assert (tables[1].backwards == deepfool.backwards + 3).all()


@pytest.mark.parametrize("norm", NORMS)
def test_restarts_shorten_margins_of_rightly_classified_rows_and_touch_no_other(digits, digits_net, norm):
    images, labels = digits[0][1000:1100], digits[1][1000:1100].clone()
    labels[::5] = (labels[::5] + 3) % 10
    none, two = (refined_margins(digits_net, images, labels, norm=norm, restarts=count) for count in (0, 2))
    right = predictions(digits_net, images) == labels
    np.testing.assert_array_equal(none.margin[~right], two.margin[~right])
    np.testing.assert_array_equal(none.iterations[~right], two.iterations[~right])
    # A point that is nearer may be pulled back along its segment by less.
    assert (two.margin[right] <= none.margin[right] * 1.02).all()
    assert two.margin[right].mean() < none.margin[right].mean()
    assert (two.margin[right] < none.margin[right] * 0.97).any()
    assert set((two.iterations - none.iterations)[right]) <= {0, 6, 12}
    assert (two.adversarial_class[right] != none.adversarial_class[right]).any()


def test_restarts_find_the_class_that_the_gradients_at_the_image_hide():
    """By the gradients at 0 class 1 is at 0.5 of one pixel, class 2 at 0.8 of the other; in truth at 0.9 and 0.5."""

    class Bent(torch.nn.Module):
        def forward(self, inputs):
            x, y = inputs.T
            first = 2 * x - 1 - 1.6 * (x - 0.4).clamp_min(0)  # -0.2 at 0.4, then a slope of 0.4
            second = y - 0.8 + 2 * (y - 0.35).clamp_min(0)  # -0.45 at 0.35, then a slope of 3
            return torch.stack([torch.zeros_like(x), first, second], 1)

    image, label = torch.zeros(1, 2), torch.tensor([0])
    none, two = (refined_margins(Bent().eval(), image, label, clip=BOX, restarts=count) for count in (0, 2))
    assert none.margin[0] == pytest.approx(0.9, rel=2e-3)
    assert none.adversarial_class[0] == 1
    assert two.margin[0] == pytest.approx(0.5, rel=2e-3)
    assert two.adversarial_class[0] == 2


def test_the_default_is_tighter_than_a_hundred_steps_of_fmn_in_a_third_of_the_passes(digits, digits_net):
    images, labels = digits[0][1000:1060], digits[1][1000:1060]
    right = predictions(digits_net, images) == labels
    images, labels = images[right], labels[right]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import foolbox

        peer = foolbox.PyTorchModel(digits_net, bounds=BOX, device="cpu")
        _, points, crossed = foolbox.attacks.LInfFMNAttack(steps=100)(peer, images, labels, epsilons=None)
    digits_net.zero_grad()
    assert crossed.all()
    table = refined_margins(digits_net, images, labels)
    assert table.converged.all()
    assert table.margin.mean() <= (points - images).flatten(1).abs().amax(1).mean()
    assert (table.forwards + table.backwards).mean() < 2 * 100 / 3


def test_a_row_that_never_crossed_is_left_as_deepfool_left_it():
    model = torch.nn.Linear(4, 3).eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 0]]))
        model.bias.copy_(torch.tensor([0.5, 0.0, -5.0]))
    images = torch.full((2, 4), 0.5)
    table = refined_margins(model, images, [2, 0])
    assert table.converged.tolist() == [False, True]
    np.testing.assert_array_equal(table.margin, deepfool_margins(model, images, [2, 0]).margin)
