"""Students against independent solvers, and against the same rules written for one set and explicit examples."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.svm import SVC

from pumalib.perceptron.overlap import angle_errors
from pumalib.perceptron.sampling import Curve, SignedInputs
from pumalib.perceptron.settings import LogisticSettings, MaxMarginSettings, OnlineSettings
from pumalib.perceptron.students import logistic, max_margin, online

CURVES = [Curve("none", 1.0, False, 0.0), Curve("pe", 0.3, False, 0.05), Curve("pd", 0.3, True, 0.2)]
EPSILONS = torch.tensor([curve.epsilon for curve in CURVES], dtype=torch.float64)
STUDENTS = {
    "logistic": (logistic.learn, LogisticSettings(steps=300)),
    "online": (online.learn, OnlineSettings()),
    "max_margin": (max_margin.learn, MaxMarginSettings(steps=2000, cost=5.0)),
}


def fgsm(inputs: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Perturb inputs by the sign of the input gradient of the logistic loss, through autograd."""
    inputs = inputs.clone().requires_grad_()
    loss = torch.nn.functional.softplus(-labels * (inputs @ weights)).sum()
    (gradient,) = torch.autograd.grad(loss, inputs)
    return (inputs + epsilon * gradient.sign()).detach()


@pytest.mark.parametrize("place", range(len(CURVES)))
def test_gradient_is_that_of_the_loss_on_explicit_fgsm_examples(draw, place):
    inputs = draw(CURVES, "random")
    rng = torch.Generator().manual_seed(place)
    weights = torch.randn(12, len(CURVES), generator=rng, dtype=torch.float64)
    labels = torch.randn(40, generator=rng, dtype=torch.float64).sign()
    unsigned = inputs.rows(place) * labels[:, None]
    attacked = fgsm(unsigned, labels, weights[:, place], CURVES[place].epsilon)
    free = weights[:, place].clone().requires_grad_()
    loss = torch.nn.functional.softplus(-labels * (attacked @ free)).mean()
    (expected,) = torch.autograd.grad(loss, free)
    torch.testing.assert_close(logistic.loss_gradient(inputs, weights, EPSILONS)[:, place], expected)


def test_fgsm_takes_the_l1_norm_off_every_margin(draw, unit):
    inputs, weights = draw(CURVES).rows(0), torch.from_numpy(unit(12))
    labels = torch.ones(40, dtype=torch.float64)
    robust = fgsm(inputs, labels, weights, 0.1) @ weights
    torch.testing.assert_close(robust, inputs @ weights - 0.1 * weights.abs().sum())


@pytest.mark.parametrize("name", STUDENTS)
def test_each_curve_and_number_of_rows_is_learned_as_if_alone(draw, name):
    learn, settings = STUDENTS[name]
    inputs = draw(CURVES, "dense")
    together = learn(inputs, EPSILONS, [15, 40], settings)
    assert together.shape == (2, 12, 3)
    for place in range(len(CURVES)):
        alone = SignedInputs(inputs.gaussian[:15], inputs.teacher, inputs.shift[:15, place : place + 1])
        weights = learn(alone, EPSILONS[place : place + 1], [15], settings)
        torch.testing.assert_close(weights[0, :, 0], together[0, :, place], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", STUDENTS)
def test_errors_at_epsilon_zero_turn_with_the_teacher(draw, name):
    learn, settings = STUDENTS[name]
    inputs = draw(CURVES[:1], "axis")
    rotation = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).standard_normal((12, 12)))[0])
    turned = SignedInputs(inputs.gaussian @ rotation, inputs.teacher @ rotation, inputs.shift)
    first, second = (
        angle_errors(learn(sets, EPSILONS[:1], [40], settings).numpy(), sets.teacher.numpy())
        for sets in (inputs, turned)
    )
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_logistic_student_reaches_the_minimum_where_there_is_one(draw):
    curve = Curve("none", 1.0, False, 0.15)
    inputs = draw([curve], "dense", rows=200)
    rows = inputs.rows(0).numpy()

    def loss(parts: np.ndarray) -> float:
        weights = parts[:12] - parts[12:]
        return float(np.logaddexp(0, -(rows @ weights - curve.epsilon * parts.sum())).mean())

    solved = minimize(loss, np.full(24, 0.1), bounds=[(0, None)] * 24, tol=1e-12)
    weights = logistic.learn(inputs, torch.tensor([0.15]).double(), [200], LogisticSettings(steps=2000))[
        0, :, 0
    ].numpy()
    reached = np.logaddexp(0, -(rows @ weights - curve.epsilon * np.abs(weights).sum())).mean()
    assert solved.fun < 0.99 * math.log(2)
    assert reached == pytest.approx(solved.fun, rel=1e-3)


def test_online_student_is_the_perceptron_rule_on_fgsm_examples(draw):
    inputs = draw(CURVES, "random")
    learned = online.learn(inputs, EPSILONS, [40, 1, 17], OnlineSettings())
    for place, curve in enumerate(CURVES):
        weights, after = np.zeros(12), {}
        for count, row in enumerate(inputs.rows(place).numpy(), 1):
            attacked = row - curve.epsilon * np.sign(weights)
            if attacked @ weights <= 0:
                weights = weights + attacked
            after[count] = weights
        expected = np.stack([after[40], after[1], after[17]])
        np.testing.assert_allclose(learned[:, :, place].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("cost", [0.05, 5.0])
def test_max_margin_student_at_epsilon_zero_is_the_support_vector_machine(draw, cost):
    inputs = draw(CURVES[:1], "random")
    peer = SVC(C=cost, kernel="linear", tol=1e-8)
    rows = inputs.rows(0).numpy()
    both = np.r_[rows, -rows]  # with each row and its mirror image the peer's intercept is 0
    peer.fit(both, np.r_[np.ones(40), -np.ones(40)])
    assert peer.intercept_ == pytest.approx(0, abs=1e-6)
    weights = max_margin.learn(inputs, EPSILONS[:1], [40], MaxMarginSettings(cost=2 * cost, steps=5000))[0, :, 0]
    np.testing.assert_allclose(weights.numpy(), peer.coef_[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("epsilon", [0.02, 0.1, 0.3])
def test_max_margin_student_above_epsilon_zero_is_what_a_generic_solver_finds(draw, epsilon):
    cost, rows_used = 0.7, 25
    inputs = draw([Curve("none", 1.0, False, epsilon)], "dense", features=6, rows=rows_used)
    rows = inputs.rows(0).numpy()
    solved = minimize(
        lambda z: 0.5 * np.sum((z[:6] - z[6:12]) ** 2) + cost * z[12:].sum() + 1e-9 * z[:12].sum(),
        np.r_[np.full(12, 0.1), np.ones(rows_used)],
        method="SLSQP",
        bounds=[(0, None)] * (12 + rows_used),
        constraints={
            "type": "ineq",
            "fun": lambda z: rows @ (z[:6] - z[6:12]) - epsilon * z[:12].sum() - 1 + z[12:],
        },
        options={"maxiter": 2000, "ftol": 1e-12},
    )
    assert solved.success
    expected = solved.x[:6] - solved.x[6:12]
    settings = MaxMarginSettings(cost=cost, steps=5000)
    weights = max_margin.learn(inputs, torch.tensor([epsilon]).double(), [rows_used], settings)[0, :, 0].numpy()
    np.testing.assert_allclose(weights, expected, rtol=2e-3, atol=2e-4)


def test_max_margin_student_keeps_the_hard_margin_where_the_cost_allows(draw):
    inputs = draw([Curve("pd", 0.3, False, 0.05)], "random", rows=30)
    settings = MaxMarginSettings(cost=1000.0, steps=5000)
    weights = max_margin.learn(inputs, torch.tensor([0.05]).double(), [30], settings)[0]
    margins = inputs.products(weights) - 0.05 * weights.abs().sum(0)
    assert margins.min() == pytest.approx(1, abs=1e-3)
