"""Margins of linear models against closed forms, linear programs and least distance programs."""

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
from pumalib.attacks.fast_margin import fast_margins
from pumalib.attacks.margins import Crossing, measure_margins

RELATIVE_TOLERANCE = 2e-4
"""Of float32 logits and 25 halvings."""

NORMS = ("linf", "l2")
CLIPS = (None, BOX)


def fine_fast_margins(*args, norm, **options):
    step_size = 0.002 if norm == "linf" else 0.005
    return fast_margins(*args, norm=norm, step_size=step_size, max_iterations=1000, bisection_steps=25, **options)


def fine_deepfool_margins(*args, **options):
    return deepfool_margins(*args, bisection_steps=25, **options)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("num_classes", [2, 10])
def test_deepfool_margin_of_linear_model_is_distance_to_nearest_hyperplane(num_classes, norm, clip):
    model = linear_model(num_classes=num_classes)
    images = random_images(80, low=0.4, high=0.6)  # interior: no step reaches the edge of the box
    labels = predictions(model, images)
    table = fine_deepfool_margins(model, images, labels, norm=norm, clip=clip)
    assert table.converged.all()
    np.testing.assert_allclose(
        table.margin, closed_form_margins(model, images, labels, norm), rtol=RELATIVE_TOLERANCE, atol=1e-6
    )


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_fast_margin_of_binary_linear_model_is_distance_to_hyperplane_however_sure_the_model(scale, norm, clip):
    model = linear_model(num_classes=2, scale=scale)
    images = random_images(80, low=0.4, high=0.6)
    labels = predictions(model, images)
    table = fine_fast_margins(model, images, labels, norm=norm, clip=clip)
    assert table.converged.all()
    np.testing.assert_allclose(
        table.margin, closed_form_margins(model, images, labels, norm), rtol=RELATIVE_TOLERANCE, atol=1e-6
    )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("scale", "bound"), [(1.0, 0.40), (100.0, 0.06)])
def test_fast_margin_of_ten_class_linear_model_is_close_to_the_distance_where_one_class_dominates(norm, scale, bound):
    # The cross-entropy looks at all classes at once: its path is not the shortest where several of them are likely.
    model = linear_model(scale=scale)
    images = random_images(200, low=0.4, high=0.6)
    labels = predictions(model, images)
    table = fine_fast_margins(model, images, labels, norm=norm, clip=None)
    excess = table.margin / closed_form_margins(model, images, labels, norm) - 1
    assert table.converged.all()
    assert excess.min() > -1e-3  # float32 logits, a hundred times larger
    assert excess.mean() < bound


@pytest.mark.parametrize("norm", NORMS)
def test_deepfool_margin_at_the_edge_of_the_box_is_near_the_linear_programs(norm):
    model = linear_model()
    images = random_images(60).mul(3).sub(1).clamp(*BOX)  # two thirds of the pixels are 0 or 1
    labels = predictions(model, images)
    table = fine_deepfool_margins(model, images, labels, norm=norm, clip=BOX, keep_adversarial=True)
    exact = exact_margins(model, images, labels, norm, BOX)
    excess = table.margin / exact - 1
    assert table.converged.all()
    assert excess.min() > -RELATIVE_TOLERANCE
    assert excess.mean() < 0.001
    assert excess.max() < 0.01
    assert table.adversarial_images.min() >= BOX[0]
    assert table.adversarial_images.max() <= BOX[1]


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("rank", [1, 4, 9])
def test_deepfool_margin_of_misclassified_image_is_near_the_program_over_all_classes(norm, clip, rank):
    model = linear_model()
    images = random_images(60)
    labels = wrong_labels(model, images, rank)
    table = fine_deepfool_margins(model, images, labels, norm=norm, clip=clip)
    exact = exact_margins(model, images, labels, norm, clip)
    assert np.isfinite(exact).all()
    excess = table.margin / exact - 1
    assert table.converged.all()
    assert (table.margin < 0).all()
    assert excess.min() > -RELATIVE_TOLERANCE
    assert np.median(excess) < 0.02
    assert excess.mean() < 0.03
    assert (table.adversarial_class == labels.numpy()).all()


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("norm", NORMS)
def test_fast_margin_of_misclassified_image_is_never_below_the_program_and_not_far_above(norm, clip):
    model = linear_model(scale=5.0)
    images = random_images(60)
    labels = wrong_labels(model, images, 2)
    table = fine_fast_margins(model, images, labels, norm=norm, clip=clip)
    excess = table.margin / exact_margins(model, images, labels, norm, clip) - 1
    assert table.converged.all()
    assert excess.min() > -RELATIVE_TOLERANCE
    assert np.median(excess) < 0.15


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("num_classes", [10, 100])
def test_deepfool_reaches_the_label_of_every_image_that_starts_next_to_it(num_classes, norm):
    model = linear_model(num_pixels=64, num_classes=num_classes)
    images = random_images(200, num_pixels=64)
    labels = wrong_labels(model, images, 1)
    table = deepfool_margins(model, images, labels, norm=norm)
    assert table.converged.all()
    assert table.iterations.mean() < 2


def test_candidates_beyond_the_number_asked_for_are_found_by_ranking_anew():
    model = linear_model()
    images = random_images(60)
    labels = predictions(model, images)
    few = deepfool_margins(model, images, labels, num_candidates=1, clip=None, bisection_steps=25)
    exact = closed_form_margins(model, images, labels, "linf")
    assert few.converged.all()
    assert (few.margin > exact * (1 - RELATIVE_TOLERANCE)).all()
    assert np.mean(few.margin / exact) < 1.5
    wrong = deepfool_margins(model, images, wrong_labels(model, images, 5), num_candidates=3)
    assert wrong.converged.all()


def test_bisection_names_the_class_at_the_point_it_ends_in():
    model = torch.nn.Linear(1, 3).eval()  # class 0 below 0.5, class 1 up to 0.7, class 2 above
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.0], [1.0], [4.0]]))
        model.bias.copy_(torch.tensor([0.0, -0.5, -2.6]))

    def jump_to_one(model, images, labels, prediction):
        crossed = torch.ones(len(images), dtype=torch.bool)
        return Crossing(torch.ones_like(images), crossed, torch.ones_like(labels))

    options = {"norm": "linf", "clip": BOX, "batch_size": 5}
    for bisection_steps, adversarial_class in ((0, 2), (20, 1)):
        table = measure_margins(jump_to_one, model, [[0.25]], [0], bisection_steps=bisection_steps, **options)
        assert table.adversarial_class.tolist() == [adversarial_class]
    assert table.margin[0] == pytest.approx(0.25, abs=1e-5)


def test_float64_models_and_float64_arrays_are_measured_in_float64():
    model = linear_model().double()
    images = random_images(20, low=0.4, high=0.6).double()
    labels = predictions(model, images)
    table = deepfool_margins(model, images.numpy(), labels.numpy(), bisection_steps=50, keep_adversarial=True)
    assert table.adversarial_images.dtype == np.float64
    np.testing.assert_allclose(table.margin, closed_form_margins(model, images, labels, "linf"), rtol=1e-6)


def test_least_distance_programs_agree_with_one_hyperplane_in_closed_form():
    model = linear_model(num_classes=2)
    images = random_images(20, low=0.4, high=0.6)
    labels = predictions(model, images)
    for norm in NORMS:
        closed = closed_form_margins(model, images, labels, norm)
        for clip in CLIPS:
            np.testing.assert_allclose(exact_margins(model, images, labels, norm, clip), closed, rtol=1e-6)
            flipped = exact_margins(model, images, 1 - labels, norm, clip)
            np.testing.assert_allclose(flipped, -closed, rtol=1e-6)
    assert torch.equal(labels, predictions(model, images))
