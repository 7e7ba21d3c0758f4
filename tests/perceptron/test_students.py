"""Students against independent solvers, and against the same rules written for one set and explicit examples."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from pumalib.perceptron.overlap import angle_errors
from pumalib.perceptron.sampling import Curve, SignedInputs
from pumalib.perceptron.settings import HardMarginSettings, LogisticSettings, MaxMarginSettings, OnlineSettings
from pumalib.perceptron.students import hard_margin, logistic, max_margin, online

CURVES = [Curve("none", 1.0, False, 0.0), Curve("pe", 0.3, False, 0.05), Curve("pd", 0.3, True, 0.2)]
EPSILONS = torch.tensor([curve.epsilon for curve in CURVES], dtype=torch.float64)
STUDENTS = {
    "logistic": (logistic.learn, LogisticSettings(penalty=1e-6, tolerance=1e-12)),
    "hard_margin": (hard_margin.learn, HardMarginSettings()),
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
def test_logistic_student_is_at_rest_on_explicit_fgsm_examples_of_its_own(draw, place):
    settings = LogisticSettings(penalty=1e-3, tolerance=1e-14)
    inputs = draw(CURVES, "random")
    weights = logistic.learn(inputs, EPSILONS, [40], settings).weights[0, :, place].clone().requires_grad_()
    labels = torch.randn(40, generator=torch.Generator().manual_seed(place), dtype=torch.float64).sign()
    attacked = fgsm(inputs.rows(place) * labels[:, None], labels, weights.detach(), CURVES[place].epsilon)
    loss = torch.nn.functional.softplus(-labels * (attacked @ weights)).mean() + 1e-3 * weights.square().sum() / 2
    (gradient,) = torch.autograd.grad(loss, weights)
    is_used = weights != 0  # at 0 FGSM leaves a coordinate alone, and the loss has a kink
    assert is_used.any()
    torch.testing.assert_close(gradient[is_used], torch.zeros_like(gradient[is_used]), atol=1e-8, rtol=0)


def test_fgsm_takes_the_l1_norm_off_every_margin(draw, unit):
    inputs, weights = draw(CURVES).rows(0), torch.from_numpy(unit(12))
    labels = torch.ones(40, dtype=torch.float64)
    robust = fgsm(inputs, labels, weights, 0.1) @ weights
    torch.testing.assert_close(robust, inputs @ weights - 0.1 * weights.abs().sum())


@pytest.mark.parametrize("name", STUDENTS)
def test_each_curve_and_number_of_rows_is_learned_as_if_alone(draw, name):
    learn, settings = STUDENTS[name]
    inputs = draw(CURVES, "dense")
    together = learn(inputs, EPSILONS, [15, 40], settings).weights
    assert together.shape == (2, 12, 3)
    for place in range(len(CURVES)):
        alone = SignedInputs(inputs.gaussian[:15], inputs.teacher, inputs.shift[:15, place : place + 1])
        weights = learn(alone, EPSILONS[place : place + 1], [15], settings).weights
        torch.testing.assert_close(weights[0, :, 0], together[0, :, place], rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("name", STUDENTS)
def test_errors_at_epsilon_zero_turn_with_the_teacher(draw, name):
    learn, settings = STUDENTS[name]
    inputs = draw(CURVES[:1], "axis")
    rotation = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).standard_normal((12, 12)))[0])
    turned = SignedInputs(inputs.gaussian @ rotation, inputs.teacher @ rotation, inputs.shift)
    first, second = (
        angle_errors(learn(sets, EPSILONS[:1], [40], settings).weights.numpy(), sets.teacher.numpy())
        for sets in (inputs, turned)
    )
    np.testing.assert_allclose(first, second, atol=1e-6)


@pytest.mark.parametrize(("epsilon", "penalty"), [(0.15, 1e-4), (0.15, 1e-9), (0.02, 1e-4)])
def test_logistic_student_reaches_the_minimum_that_a_generic_solver_finds(draw, epsilon, penalty):
    curve = Curve("none", 1.0, False, epsilon)
    inputs = draw([curve], "dense", rows=200)
    rows = inputs.rows(0).numpy()

    def loss(parts: np.ndarray) -> float:
        weights = parts[:12] - parts[12:]
        losses = np.logaddexp(0, -(rows @ weights - epsilon * parts.sum()))
        return float(losses.mean() + penalty * np.square(parts).sum() / 2)

    solved = minimize(loss, np.full(24, 0.1), bounds=[(0, None)] * 24, tol=1e-15)
    learned = logistic.learn(
        inputs, torch.tensor([epsilon]).double(), [200], LogisticSettings(penalty=penalty, tolerance=1e-12)
    )
    weights = learned.weights[0, :, 0].numpy()
    assert learned.converged == [["yes"]]
    assert solved.fun < 0.99 * math.log(2)
    reached = loss(np.r_[np.maximum(weights, 0), np.maximum(-weights, 0)])
    assert reached == pytest.approx(solved.fun, rel=1e-5)
    assert reached <= solved.fun * (1 + 1e-9)


def test_logistic_student_at_epsilon_zero_is_logistic_regression(draw):
    inputs = draw(CURVES[:2], "random")
    learned = logistic.learn(inputs, torch.zeros(2).double(), [40], LogisticSettings(penalty=1e-3, tolerance=1e-14))
    for place in range(2):
        rows = inputs.rows(place).numpy()
        peer = LogisticRegression(C=1 / (1e-3 * 80), fit_intercept=False, solver="newton-cholesky", tol=1e-12)
        peer.fit(np.r_[rows, -rows], np.r_[np.ones(40), -np.ones(40)])
        np.testing.assert_allclose(learned.weights[0, :, place].numpy(), peer.coef_[0], rtol=1e-6)


def test_logistic_student_learns_nothing_where_the_attack_turns_most_rows_over(draw):
    inputs = draw([Curve("pe", 0.01, False, 0.1)], rows=200)
    learned = logistic.learn(inputs, torch.tensor([0.1]).double(), [200], LogisticSettings())
    assert (learned.weights == 0).all()
    assert learned.converged == [["yes"]]


@pytest.mark.parametrize(
    ("learn", "settings"),
    [(logistic.learn, LogisticSettings(steps=2)), (max_margin.learn, MaxMarginSettings(steps=2, tolerance=1e-6))],
)
def test_student_whose_steps_do_not_suffice_says_so(draw, learn, settings):
    learned = learn(draw(CURVES, "random"), EPSILONS, [15, 40], settings)
    assert (learned.converged == "no").all()
    assert learned.weights.isfinite().all()


def test_logistic_student_of_a_penalty_below_rounding_says_so_rather_than_fail(draw):
    inputs = draw([Curve("none", 1.0, False, 0.0)], features=40, rows=10)
    learned = logistic.learn(inputs, torch.zeros(1).double(), [10], LogisticSettings(penalty=1e-30))
    assert learned.converged == [["no"]]
    assert learned.weights.isfinite().all()


def test_max_margin_student_says_of_each_curve_whether_it_reached_its_tolerance(draw):
    inputs = draw(CURVES, "random")
    steps = (100, 200, 1000, 5000)
    words = [max_margin.learn(inputs, EPSILONS, [40], MaxMarginSettings(steps=n, cost=20.0)).converged for n in steps]
    counts = [int((each == "yes").sum()) for each in words]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1] == 3


def test_online_student_is_the_perceptron_rule_on_fgsm_examples(draw):
    inputs = draw(CURVES, "random")
    learned = online.learn(inputs, EPSILONS, [40, 1, 17], OnlineSettings()).weights
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
    weights = max_margin.learn(inputs, EPSILONS[:1], [40], MaxMarginSettings(cost=2 * cost, steps=5000)).weights[
        0, :, 0
    ]
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
    weights = max_margin.learn(inputs, torch.tensor([epsilon]).double(), [rows_used], settings).weights[0, :, 0].numpy()
    np.testing.assert_allclose(weights, expected, rtol=2e-3, atol=2e-4)


def test_max_margin_student_keeps_the_hard_margin_where_the_cost_allows(draw):
    inputs = draw([Curve("pd", 0.3, False, 0.05)], "random", rows=30)
    settings = MaxMarginSettings(cost=1000.0, steps=5000)
    weights = max_margin.learn(inputs, torch.tensor([0.05]).double(), [30], settings).weights[0]
    margins = inputs.products(weights) - 0.05 * weights.abs().sum(0)
    assert margins.min() == pytest.approx(1, abs=1e-3)
