"""Margins of a small trained net: against foolbox, and what a margin table promises."""

import warnings
from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn

from pumalib.attacks.deepfool import deepfool_margins
from pumalib.attacks.fast_margin import fast_margins
from pumalib.attacks.objectives import cw_margin
from pumalib.attacks.refined_margin import refined_margins
from pumalib.errors import DataError

NORMS = ("linf", "l2")
ESTIMATORS = {"deepfool": deepfool_margins, "fast": fast_margins, "refined": refined_margins}
FINE_STEPS = {"linf": 1 / 255, "l2": 5 / 255}


def estimate(estimator, norm, *args, **options):
    if estimator == "fast":
        options.setdefault("step_size", FINE_STEPS[norm])
    return ESTIMATORS[estimator](*args, norm=norm, **options)


def lengths(perturbations, norm):
    flat = perturbations.reshape(len(perturbations), -1).astype(np.float64)
    return np.linalg.norm(flat, np.inf if norm == "linf" else 2, axis=1)


def predict(model, images):
    with torch.no_grad():
        return model(torch.as_tensor(images)).argmax(1).numpy()


@pytest.fixture
def unseen(digits):
    """Return digits the net was not trained on, every fifth with a wrong label."""
    images, labels = digits[0][1000:1200], digits[1][1000:1200].clone()
    labels[::5] = (labels[::5] + 3) % 10
    return images, labels


def foolbox_points(model, images, labels, norm, bounds):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import foolbox

        attack = foolbox.attacks.LinfDeepFoolAttack if norm == "linf" else foolbox.attacks.L2DeepFoolAttack
        peer = foolbox.PyTorchModel(deepcopy(model), bounds=bounds, device="cpu")
        _, points, crossed = attack(steps=50, candidates=10, overshoot=0.02)(peer, images, labels, epsilons=None)
    return points.detach(), crossed.numpy()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("clip", "bounds"), [(None, (-1e3, 1e3)), ((0.0, 1.0), (0.0, 1.0))])
def test_deepfool_agrees_with_foolbox(digits, digits_net, norm, clip, bounds):
    images, labels = digits[0][1000:1250], digits[1][1000:1250]
    is_right = predict(digits_net, images) == labels.numpy()
    images, labels = images[is_right], labels[is_right]
    points, crossed = foolbox_points(digits_net, images, labels, norm, bounds)
    peer = lengths((points - images).numpy(), norm)
    table = deepfool_margins(digits_net, images, labels, norm=norm, clip=clip)
    assert table.converged.all()
    assert crossed.mean() > 0.98
    ratio = table.margin[crossed].mean() / peer[crossed].mean()
    assert 0.95 < ratio <= 1.0


def test_deepfool_shows_the_model_no_empty_batch(digits_net, unseen):
    class Reshaping(nn.Module):
        def forward(self, images):
            return digits_net(images.view(images.size(0), -1).view(-1, 1, 8, 8))

    images, labels = unseen
    is_wrong = torch.from_numpy(predict(digits_net, images)) != labels
    table = deepfool_margins(Reshaping().eval(), images[is_wrong][:3], labels[is_wrong][:3])
    assert (table.margin < 0).all()


@pytest.mark.parametrize("norm", NORMS)
def test_fast_margin_agrees_with_deepfool(digits_net, unseen, norm):
    fast = estimate("fast", norm, digits_net, *unseen)
    deepfool = estimate("deepfool", norm, digits_net, *unseen)
    both = fast.converged & deepfool.converged
    assert both.mean() > 0.98
    assert np.corrcoef(fast.margin[both], deepfool.margin[both])[0, 1] > 0.97
    assert abs(np.abs(fast.margin[both]).mean() / np.abs(deepfool.margin[both]).mean() - 1) < 0.15


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_points_are_across_by_more_than_rounding(digits_net, unseen, estimator, norm):
    images, labels = unseen
    table = estimate(estimator, norm, digits_net, images, labels, keep_adversarial=True, bisection_steps=20)
    with torch.no_grad():
        logits = digits_net(torch.from_numpy(table.adversarial_images))
    gaps = cw_margin(logits, labels).numpy() * np.where(table.prediction == labels.numpy(), 1, -1)
    units = gaps / (torch.finfo(torch.float32).eps * logits.abs().amax(1).numpy())
    assert (units[table.converged] > 8).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_each_converged_margin_is_the_length_to_a_point_across_the_boundary(digits_net, unseen, estimator, norm):
    images, labels = unseen
    table = estimate(estimator, norm, digits_net, images, labels, keep_adversarial=True)
    found = table.converged
    assert found.mean() > 0.98
    predicted = predict(digits_net, table.adversarial_images)
    was_right = table.prediction == labels.numpy()
    assert (predicted == table.adversarial_class)[found].all()
    assert ((predicted == labels.numpy()) != was_right)[found].all()
    np.testing.assert_allclose(
        lengths(table.adversarial_images - images.numpy(), norm)[found], np.abs(table.margin[found]), rtol=1e-5
    )
    assert table.adversarial_images.min() >= 0.0
    assert table.adversarial_images.max() <= 1.0


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_margins_are_positive_where_right_and_negative_where_wrong(digits_net, unseen, estimator):
    images, labels = unseen
    table = estimate(estimator, "linf", digits_net, images, labels)
    prediction = predict(digits_net, images)
    assert (table.prediction == prediction).all()
    is_right = prediction == labels.numpy()
    assert 0.5 < is_right.mean() < 0.9
    assert (table.margin[is_right] > 0).all()
    assert (table.margin[~is_right] < 0).all()
    assert (table.adversarial_class[~is_right & table.converged] == labels.numpy()[~is_right & table.converged]).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_margins_do_not_depend_on_batch_size_or_row_order(digits_net, unseen, estimator, norm):
    images, labels = unseen[0][:60], unseen[1][:60]
    whole = estimate(estimator, norm, digits_net, images, labels)
    split = estimate(estimator, norm, digits_net, images, labels, batch_size=7)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(3))
    shuffled = estimate(estimator, norm, digits_net, images[order], labels[order], batch_size=64)
    for table, reference in ((split, whole.margin), (shuffled, whole.margin[order.numpy()])):
        np.testing.assert_allclose(table.margin, reference, rtol=2e-3, atol=1e-5)
    assert (split.converged == whole.converged).all()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_measuring_leaves_the_model_and_the_images_as_they_were(digits_net, unseen, estimator):
    images, labels = unseen
    parameters = list(digits_net.parameters())
    parameters[0].requires_grad_(False)
    parameters[1].grad = torch.full_like(parameters[1], 7.0)
    before = {name: value.clone() for name, value in digits_net.state_dict().items()}
    pixels = images.clone()
    try:
        estimate(estimator, "linf", digits_net, pixels, labels)
        assert [parameter.requires_grad for parameter in parameters] == [False] + [True] * (len(parameters) - 1)
        assert (parameters[1].grad == 7.0).all()
        assert all(parameter.grad is None for parameter in parameters[2:])
        assert not any(module.training for module in digits_net.modules())
        torch.testing.assert_close(dict(digits_net.state_dict()), before, rtol=0, atol=0)
        assert torch.equal(pixels, images)
    finally:
        parameters[0].requires_grad_(True)
        parameters[1].grad = None


def test_parameters_are_as_before_even_after_an_error(digits_net, unseen):
    class FailsLate(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = digits_net

        def forward(self, images):
            if torch.is_grad_enabled():
                raise RuntimeError("no gradient today")
            return self.inner(images)

    with pytest.raises(RuntimeError, match="no gradient today"):
        deepfool_margins(FailsLate().eval(), *unseen)
    assert all(parameter.requires_grad for parameter in digits_net.parameters())


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_callers_no_grad_does_not_matter(digits_net, unseen, estimator):
    images, labels = unseen[0][:10], unseen[1][:10]
    expected = estimate(estimator, "linf", digits_net, images, labels)
    with torch.no_grad():
        table = estimate(estimator, "linf", digits_net, images, labels)
        assert not torch.is_grad_enabled()
    np.testing.assert_array_equal(table.margin, expected.margin)


@pytest.mark.parametrize("norm", NORMS)
def test_a_search_cut_short_says_so_and_gives_the_signed_distance_it_looked(digits_net, unseen, norm):
    images, labels = unseen
    step_size, num_steps = FINE_STEPS[norm] / 10, 3
    table = fast_margins(
        digits_net, images, labels, norm=norm, step_size=step_size, max_iterations=num_steps, keep_adversarial=True
    )
    missed = ~table.converged
    assert missed.mean() > 0.9
    assert (table.iterations[missed] == num_steps).all()
    assert (np.abs(table.margin[missed]) <= num_steps * step_size * (1 + 1e-4)).all()
    assert (np.abs(table.margin[missed]) > 0).all()
    assert (np.sign(table.margin) == np.where(table.prediction == labels.numpy(), 1, -1))[missed].all()
    assert (table.adversarial_class == table.prediction)[missed].all()
    np.testing.assert_allclose(
        lengths(table.adversarial_images - images.numpy(), norm)[missed], np.abs(table.margin[missed]), rtol=1e-4
    )


@pytest.mark.parametrize("clip", [None, (0.0, 1.0)])
@pytest.mark.parametrize("norm", NORMS)
def test_deepfool_does_not_stall_on_the_boundary(digits, digits_net, norm, clip):
    table = deepfool_margins(digits_net, *digits, norm=norm, clip=clip, bisection_steps=0)
    assert table.converged.all()
    assert table.iterations.max() < 25


def test_deepfool_cut_short_says_so(digits_net, unseen):
    images, labels = unseen
    short = deepfool_margins(digits_net, images, labels, max_iterations=1)
    full = deepfool_margins(digits_net, images, labels)
    assert 0.1 < (~short.converged).mean() < 1.0
    assert (short.iterations <= 1).all()
    assert (full.iterations[~short.converged] > 1).all()
    assert (short.adversarial_class == short.prediction)[~short.converged].all()
    np.testing.assert_allclose(short.margin[short.converged], full.margin[short.converged], rtol=2e-3)


def test_a_point_that_no_label_can_be_reached_from_does_not_converge():
    model = nn.Linear(4, 3).eval()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0, 1.0, 0, 0], [0, 0, 0, 0]]))
        model.bias.copy_(torch.tensor([1.0, 0.0, -5.0]))
    for estimator in ESTIMATORS:
        table = estimate(estimator, "linf", model, torch.full((1, 4), 0.5), [2])
        assert not table.converged.any()
        assert table.margin[0] < 0
        assert np.isfinite(table.margin).all()


def test_more_halvings_never_lengthen_a_margin(digits_net, unseen):
    margins = [np.abs(deepfool_margins(digits_net, *unseen, bisection_steps=steps).margin) for steps in (0, 2, 10)]
    assert (margins[1] <= margins[0] * (1 + 1e-6)).all()
    assert (margins[2] <= margins[1] * (1 + 1e-6)).all()
    assert margins[2].mean() < margins[0].mean() * 0.999


def test_adversarial_images_are_kept_only_if_asked_for(digits_net, unseen):
    images, labels = unseen
    assert deepfool_margins(digits_net, images, labels).adversarial_images is None
    kept = deepfool_margins(digits_net, images, labels, keep_adversarial=True, batch_size=33)
    assert kept.adversarial_images.shape == tuple(images.shape)
    assert len(kept) == len(images)


def test_columns_have_the_promised_types(digits_net, unseen):
    table = deepfool_margins(digits_net, *unseen)
    types = {name: getattr(table, name).dtype for name in ("margin", "converged", "prediction", "adversarial_class")}
    assert types == {"margin": np.float32, "converged": bool, "prediction": np.int64, "adversarial_class": np.int64}
    assert table.iterations.dtype == np.int64


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_numpy_images_in_float64_and_small_integer_labels_are_taken(digits_net, unseen, estimator):
    images, labels = unseen[0][:20], unseen[1][:20]
    expected = estimate(estimator, "linf", digits_net, images, labels)
    array = images.double().numpy()
    array.flags.writeable = False
    for given in (labels.numpy().astype(np.uint8), labels.to(torch.int32), labels.tolist()):
        np.testing.assert_array_equal(estimate(estimator, "linf", digits_net, array, given).margin, expected.margin)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_inputs_that_do_not_fit_are_refused(digits_net, unseen, estimator):
    images, labels = unseen[0][:20], unseen[1][:20]
    measure = ESTIMATORS[estimator]
    broken = images.clone()
    broken[3, 0, 2, 2] = torch.nan
    cases = [
        (images * 255, labels, r"images in \[0, 1\].*got 0\.\.255"),
        (images - 0.5, labels, r"images in \[0, 1\].*got -0\.5\.\.0\.5"),
        ((images * 255).to(torch.int32), labels, "divide by 255"),
        (broken, labels, "finite images"),
        (images[:0], labels[:0], "at least 1"),
        (images, labels[:19], "one label for each of 20 images"),
        (images, labels + 1, r"labels in \[0, 10\), got 1\.\.10|labels in"),
        (images, labels - 1, r"labels in \[0, 10\), got -1"),
        (images, labels.float(), "integer labels"),
        (images, nn.functional.one_hot(labels, 10), "one label for each"),
    ]
    labels[0], labels[1] = 9, 0
    for bad_images, bad_labels, message in cases:
        with pytest.raises(DataError, match=message):
            measure(digits_net, bad_images, bad_labels)
    with pytest.raises(ValueError, match="linf or l2, got l1"):
        measure(digits_net, images, labels, norm="l1")


def test_models_that_would_be_mismeasured_are_refused(digits_net, unseen):
    images, labels = unseen[0][:20], unseen[1][:20]
    with pytest.raises(DataError, match="eval mode"):
        deepfool_margins(nn.Sequential(digits_net, nn.Identity().train()).train(), images, labels)
    digits_net.eval()
    with pytest.raises(DataError, match="probabilities"):
        deepfool_margins(nn.Sequential(digits_net, nn.Softmax(1)).eval(), images, labels)
    with pytest.raises(DataError, match="shape"):
        deepfool_margins(nn.Sequential(digits_net, nn.Unflatten(1, (5, 2))).eval(), images, labels)
    diverged = nn.Linear(64, 10).eval()
    nn.init.constant_(diverged.weight, torch.nan)
    with pytest.raises(DataError, match="diverged"):
        deepfool_margins(nn.Sequential(nn.Flatten(), diverged).eval(), images, labels)


@pytest.mark.parametrize("norm", NORMS)
def test_classes_left_out_after_the_first_iteration_hardly_change_a_margin_and_save_most_passes(
    digits_net, unseen, norm, monkeypatch
):
    few = deepfool_margins(digits_net, *unseen, norm=norm)
    monkeypatch.setattr("pumalib.attacks.nearest_boundary._LONGER", float("inf"))
    every = deepfool_margins(digits_net, *unseen, norm=norm)
    right = few.margin > 0
    assert few.margin[right].mean() < every.margin[right].mean() * 1.005
    assert few.backwards[right].mean() < 0.75 * every.backwards[right].mean()
    assert (few.backwards[right] >= 10).all()  # nine other classes at the image, one where it crossed
