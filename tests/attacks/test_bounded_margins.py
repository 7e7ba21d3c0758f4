"""Margins that stop at a distance: against closed forms on linear models, and the whole margins of a small net."""

import numpy as np
import pytest
import torch
from linear_truth import closed_form_margins, exact_margins, linear_model, predictions, random_images, wrong_labels

from pumalib.attacks.deepfool import deepfool_margins
from pumalib.attacks.fast_margin import fast_margins
from pumalib.attacks.refined_margin import refined_margins

NORMS = ("linf", "l2")
ESTIMATORS = {"deepfool": deepfool_margins, "refined": refined_margins, "fast": fast_margins}


def passes(table):
    return int((table.forwards + table.backwards).sum())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("estimator", ["deepfool", "refined"])
def test_margins_of_a_linear_model_are_its_distances_or_the_bound(estimator, norm):
    model = linear_model()
    images = random_images(120, low=0.4, high=0.6)
    labels = predictions(model, images)
    exact = closed_form_margins(model, images, labels, norm)
    up_to = float(np.median(exact))
    table = ESTIMATORS[estimator](model, images, labels, norm=norm, clip=None, bisection_steps=25, up_to=up_to)
    assert (table.bounded == (exact >= up_to)).all()
    assert (table.converged == (exact < up_to)).all()
    np.testing.assert_allclose(table.margin, np.minimum(exact, up_to), rtol=2e-4, atol=1e-6)
    assert (table.margin[table.bounded] == np.float32(up_to)).all()
    assert (table.adversarial_class == table.prediction)[table.bounded].all()


@pytest.mark.parametrize("norm", NORMS)
def test_bounds_of_misclassified_rows_are_negative_and_none_is_nearer_than_the_program_says(norm):
    model = linear_model()
    images = random_images(60, low=0.3, high=0.7)
    labels = wrong_labels(model, images)
    exact = exact_margins(model, images, labels, norm, (0.0, 1.0))
    up_to = float(np.median(-exact))
    table = deepfool_margins(model, images, labels, norm=norm, bisection_steps=25, up_to=up_to)
    assert 10 < table.bounded.sum() < 50
    assert (table.margin[table.bounded] == -np.float32(up_to)).all()
    # DeepFool's way to a label is up to a few per cent too long, so rows just below the bound may reach it.
    assert (-exact[table.bounded] > 0.9 * up_to).all()
    np.testing.assert_allclose(table.margin[~table.bounded], exact[~table.bounded], rtol=0.15)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("estimator", list(ESTIMATORS))
def test_rows_that_are_no_bound_have_the_margin_of_the_whole_search(digits, digits_net, estimator, norm):
    images, labels = digits[0][1000:1200], digits[1][1000:1200].clone()
    labels[::5] = (labels[::5] + 3) % 10
    whole = ESTIMATORS[estimator](digits_net, images, labels, norm=norm)
    up_to = float(np.quantile(np.abs(whole.margin), 0.3))
    table = ESTIMATORS[estimator](digits_net, images, labels, norm=norm, up_to=up_to)
    measured = ~table.bounded
    np.testing.assert_allclose(table.margin[measured], whole.margin[measured], rtol=1e-5)
    assert (table.converged == whole.converged)[measured].all()
    assert (table.adversarial_class == whole.adversarial_class)[measured].all()
    assert (np.abs(table.margin[measured]) < np.float32(up_to)).all()
    assert (np.sign(table.margin) == np.sign(whole.margin)).all()
    # A search that is given up may miss a margin: see docs/margins.md.
    assert (np.abs(whole.margin)[table.bounded] < np.float32(up_to)).sum() <= 1
    assert passes(table) < passes(whole)


@pytest.mark.parametrize("estimator", list(ESTIMATORS))
def test_a_distance_that_no_search_comes_to_changes_nothing(digits, digits_net, estimator):
    images, labels = digits[0][1000:1100], digits[1][1000:1100]
    whole = ESTIMATORS[estimator](digits_net, images, labels)
    table = ESTIMATORS[estimator](digits_net, images, labels, up_to=2.0)
    assert whole.bounded is None
    assert not table.bounded.any()
    for name in ("margin", "converged", "adversarial_class", "iterations", "forwards", "backwards"):
        np.testing.assert_array_equal(getattr(table, name), getattr(whole, name))


def test_the_batch_size_changes_no_bound(digits, digits_net):
    images, labels = digits[0][1000:1060], digits[1][1000:1060]
    up_to = float(np.median(np.abs(refined_margins(digits_net, images, labels).margin)))
    one, other = (refined_margins(digits_net, images, labels, up_to=up_to, batch_size=size) for size in (7, 60))
    np.testing.assert_array_equal(one.bounded, other.bounded)
    np.testing.assert_allclose(one.margin, other.margin, rtol=1e-4)


def test_a_margin_at_the_bound_is_marked_as_one():
    """By hand: the plane x = 0.5 is 0.2 from 0.3, and 0.25 from 0.25."""
    model = torch.nn.Linear(1, 2).eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        model.bias.copy_(torch.tensor([0.5, -0.5]))
    table = deepfool_margins(model, [[0.3], [0.25], [0.0]], [0, 0, 1], up_to=0.22, bisection_steps=25)
    assert table.margin.tolist() == pytest.approx([0.2, 0.22, -0.22], rel=1e-4)
    assert table.bounded.tolist() == [False, True, True]
    assert table.converged.tolist() == [True, False, False]


@pytest.mark.parametrize("estimator", list(ESTIMATORS))
def test_a_distance_of_nothing_is_refused(estimator):
    with pytest.raises(ValueError, match="expected up_to above 0, got 0"):
        ESTIMATORS[estimator](linear_model(), random_images(2), [0, 1], up_to=0.0)
