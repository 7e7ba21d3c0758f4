"""The abstraction model: accuracies against Monte Carlo and brute force, minima against independent conditions."""

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import norm

from pumalib.abstraction.adversarial import learn_adversarially
from pumalib.abstraction.learning import learn_rows, learn_scales, robust_loss
from pumalib.abstraction.model import accuracy, draw_signed_rows, weak_mean_norm, weak_weight_share
from pumalib.abstraction.settings import AbstractionSettings, DescentSettings
from pumalib.abstraction.students import learn_mean, learn_ridge
from pumalib.errors import DataError

FEATURES = ({"probability": 0.9}, {"deviation": 0.6}, {"probability": 0.9, "mean": 2.0, "deviation": 0.5})
DESCENT = DescentSettings(steps=300)
RIDGE_PENALTY = 0.01


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


def model(robust=FEATURES[0], num_rows=400, num_weak=20, weak_mean=0.35):
    return AbstractionSettings(
        num_rows=num_rows, num_weak=num_weak, weak_mean=weak_mean, robust=robust, epsilons=(2 * weak_mean,)
    )


def learn_ridge_here(rows):
    return learn_ridge(rows, RIDGE_PENALTY)


STUDENTS = {"mean": learn_mean, "ridge": learn_ridge_here}


def loss_of(weights, rows, epsilon):
    return float(robust_loss(torch.as_tensor(weights), torch.as_tensor(rows), epsilon))


@pytest.mark.parametrize("robust", FEATURES)
def test_accuracy_is_that_of_many_rows_under_the_worst_corner_of_the_ball(robust):
    settings = model(robust, num_rows=100_000, num_weak=3)
    rows = draw_signed_rows(settings, 0)
    corners = np.array(list(product([-1, 1], repeat=4)))
    for weights in ([1.0, 0.3, 0.2, 0.5], [0.5, -0.4, 0.6, 0.0], [-0.3, 0.2, 0.2, 1.0], [1.0, 0.0, 0.0, 0.0]):
        for epsilon in (0.0, 0.2, 0.5):
            worst = (rows @ weights) + (epsilon * corners @ weights).min()
            counted = (worst > 0).mean()
            found = accuracy(np.array(weights), settings, epsilon)
            assert found == pytest.approx(counted, abs=4 * np.sqrt(0.25 / len(rows)))


def test_rows_have_the_moments_of_the_model_and_depend_on_the_seed():
    settings = model({"probability": 0.9, "mean": 2.0, "deviation": 0.5}, num_rows=100_000, num_weak=4)
    rows = draw_signed_rows(settings, 1)
    np.testing.assert_allclose(rows.mean(0), [2 * 0.8, *[0.35] * 4], atol=0.02)
    np.testing.assert_allclose(rows.var(0), [0.25 + 4 * (1 - 0.64), 1, 1, 1, 1], rtol=0.03)
    np.testing.assert_array_equal(draw_signed_rows(settings, 1), rows)
    assert (draw_signed_rows(settings, 2) != rows).any()


@pytest.mark.parametrize("epsilon", [0.0, 0.2, 0.5])
def test_no_weights_are_more_robust_than_the_thresholded_means_over_variances(epsilon):
    settings = model({"deviation": 0.6}, num_weak=4)
    means, variances = np.array([1.0, *[0.35] * 4]), np.array([0.36, *[1.0] * 4])
    beyond = np.maximum(means - epsilon, 0)
    best = accuracy(beyond / variances, settings, epsilon)
    assert best == pytest.approx(norm.cdf(np.sqrt((beyond**2 / variances).sum())))
    random = np.random.default_rng(0)
    for _ in range(200):
        other = beyond / variances + random.standard_normal(5) * random.choice([0.01, 0.1, 1.0])
        assert accuracy(other, settings, epsilon) <= best + 1e-12


@pytest.mark.parametrize("epsilon", [0.2, 0.35, 0.7])
def test_adversarial_training_ends_where_no_step_lowers_the_convex_robust_loss(epsilon):
    rows = draw_signed_rows(model(), 0)
    weights = learn_adversarially(rows, epsilon)
    least = loss_of(weights, rows, epsilon)
    random = np.random.default_rng(1)
    for size in (1e-3, 1e-2, 0.3):
        for _ in range(50):
            step = random.standard_normal(len(weights)) * (random.random(len(weights)) < random.random())
            assert loss_of(weights + size * step, rows, epsilon) >= least - 1e-9


def test_adversarial_training_leaves_weak_features_out_exactly_and_refuses_rows_without_a_minimum():
    rows = draw_signed_rows(model(), 0)
    weights = learn_adversarially(rows, 0.7)
    assert not weights[1:].any()
    assert weights[0] > 0
    with pytest.raises(DataError, match="expected adversarial training at epsilon 0 to have a minimum, got: every row"):
        learn_adversarially(np.abs(rows) + 1, 0.0)


@pytest.mark.parametrize("name", STUDENTS)
def test_students_sit_at_the_minimum_of_their_natural_loss(name):
    rows = torch.from_numpy(draw_signed_rows(model(), 0))
    weights = STUDENTS[name](rows).requires_grad_(True)
    margins = rows @ weights
    loss = -margins + weights @ weights / 2
    if name == "ridge":
        loss = (1 - margins) ** 2 / 2 + RIDGE_PENALTY * weights @ weights / 2
    (gradient,) = torch.autograd.grad(loss.mean(), weights)
    assert gradient.abs().max() < 1e-12


@pytest.mark.parametrize("name", STUDENTS)
def test_gradient_through_a_student_is_that_of_finite_differences(name):
    rows = torch.from_numpy(draw_signed_rows(model(num_rows=30, num_weak=4), 0))
    data = rows.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(robust_loss(STUDENTS[name](data), rows, 0.3), data)
    for entry in ((0, 0), (7, 2), (29, 4)):
        sides = []
        for step in (1e-5, -1e-5):
            moved = rows.clone()
            moved[entry] += step
            sides.append(float(robust_loss(STUDENTS[name](moved), rows, 0.3)))
        assert float(gradient[entry]) == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-4)


@pytest.mark.parametrize(("learn", "name"), [(learn_scales, "mean"), (learn_rows, "mean"), (learn_rows, "ridge")])
@pytest.mark.parametrize("robust", FEATURES[:2])
def test_descent_on_data_reaches_the_loss_of_adversarial_training(learn, name, robust):
    settings = model(robust)
    rows, (epsilon,) = draw_signed_rows(settings, 0), settings.epsilons
    least = loss_of(learn_adversarially(rows, epsilon), rows, epsilon)
    natural = torch.from_numpy(rows)
    weights = STUDENTS[name](learn(natural, [STUDENTS[name]], epsilon, DESCENT)).numpy()
    found = loss_of(weights, rows, epsilon)
    assert least <= found <= 1.02 * least
    assert loss_of(STUDENTS[name](natural).numpy(), rows, epsilon) > 1.3 * least


@pytest.mark.parametrize("learn", [learn_scales, learn_rows])
def test_learned_data_hold_no_weak_features_and_their_natural_student_is_robust_where_natural_data_fail(learn):
    settings = model()
    rows, (epsilon,) = torch.from_numpy(draw_signed_rows(settings, 0)), settings.epsilons
    learned = learn(rows, [learn_mean], epsilon, DESCENT)
    before, after = learn_mean(rows).numpy(), learn_mean(learned).numpy()
    assert accuracy(before, settings, epsilon) < 0.2
    assert accuracy(after, settings, epsilon) > 0.89
    assert weak_mean_norm(learned.numpy()) < 0.02 * weak_mean_norm(rows.numpy())
    assert weak_weight_share(after) < 0.02 < 0.5 < weak_weight_share(before)


def test_rows_learned_for_the_mean_student_are_moved_all_alike():
    rows = torch.from_numpy(draw_signed_rows(model(), 0))
    moves = learn_rows(rows, [learn_mean], 0.7, DESCENT) - rows
    torch.testing.assert_close(moves, moves[:1].expand_as(moves))
    assert moves[0].abs().max() > 0.1


def test_rows_learned_for_both_students_serve_both_and_scales_cannot():
    settings = model()
    rows, (epsilon,) = torch.from_numpy(draw_signed_rows(settings, 0)), settings.epsilons
    students = list(STUDENTS.values())
    learned = learn_rows(rows, students, epsilon, DESCENT)
    scaled = learn_scales(rows, students, epsilon, DESCENT)
    assert min(accuracy(student(learned).numpy(), settings, epsilon) for student in students) > 0.88
    assert min(accuracy(student(scaled).numpy(), settings, epsilon) for student in students) < 0.8
