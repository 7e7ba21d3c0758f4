"""The students against peers, in one process and one thread: time, and how far their errors are apart.

    OMP_NUM_THREADS=1 python benchmarks/perceptron.py [online] [hard_margin] [logistic] [costs] [--rows 800]

`online`: against a NumPy loop over sets and rows. `hard_margin`: against the same problem as non-negative least squares
(scipy; Lawson and Hanson's LDP). `logistic`: at epsilon 0, against LogisticRegression of scikit-learn. `costs`: what
the max-margin student learns at costs of 1 and 100, beside the hard margin. K = 200, axis teacher, seed 0, CPU time.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Callable

import numpy as np
import torch
from least_distance import least_distance
from sklearn.linear_model import LogisticRegression

from pumalib.perceptron.overlap import angle_errors
from pumalib.perceptron.sampling import Curve, SignedInputs, draw_signed_inputs
from pumalib.perceptron.settings import HardMarginSettings, LogisticSettings, MaxMarginSettings, OnlineSettings
from pumalib.perceptron.students import hard_margin, logistic, max_margin, online
from pumalib.perceptron.teachers import teacher_direction

NUM_FEATURES = 200
FRACTIONS = (0.2, 0.05, 0.01)
TEACHER = teacher_direction("axis", NUM_FEATURES, 0)
PARTS = ("online", "hard_margin", "logistic", "costs")


def drawn(num_rows: int, epsilons: tuple[float, ...]) -> tuple[SignedInputs, torch.Tensor]:
    """Draw the unpruned set and those of PE at each epsilon, filtered above epsilon 0."""
    prunings = [("none", 1.0), *(("pe", fraction) for fraction in FRACTIONS)]
    curves = [Curve(*pruning, epsilon > 0, epsilon) for epsilon in epsilons for pruning in prunings]
    inputs = draw_signed_inputs(curves, TEACHER, num_rows, 0, torch.device("cpu"))
    return inputs, inputs.shift.new_tensor([curve.epsilon for curve in curves])


def compare(name: str, own: Callable[[], np.ndarray], peer: Callable[[], np.ndarray]) -> None:
    (seconds, weights), (peer_seconds, expected) = seconds_of(own), seconds_of(peer)
    angles, peer_angles = angle_errors(weights, TEACHER), angle_errors(expected, TEACHER)
    apart = np.abs(angles / peer_angles - 1)
    print(
        f"{name}: {seconds:.2f} s, peer {peer_seconds:.2f} s, ratio {peer_seconds / seconds:.1f}; "
        f"angle errors apart by {np.median(apart):.1e} of themselves (median), {apart.max():.1e} (largest)"
    )


def seconds_of(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def online_loop(rows: np.ndarray, epsilon: float) -> np.ndarray:
    weights = np.zeros(rows.shape[1])
    for row in rows:
        attacked = row - epsilon * np.sign(weights)
        if attacked @ weights <= 0:
            weights += attacked
    return weights


def regression(rows: np.ndarray, settings: LogisticSettings) -> np.ndarray:
    """Fit scikit-learn's logistic regression: with each row and its mirror image there are two classes."""
    peer = LogisticRegression(
        C=1 / (settings.penalty * 2 * len(rows)),
        fit_intercept=False,
        solver="newton-cholesky",
        tol=1e-12,
        max_iter=1000,
    )
    return peer.fit(np.r_[rows, -rows], np.r_[np.ones(len(rows)), -np.ones(len(rows))]).coef_[0]


def over_sets(
    inputs: SignedInputs, epsilons: torch.Tensor, solve: Callable[[np.ndarray, float], np.ndarray]
) -> Callable[[], np.ndarray]:
    return lambda: np.stack(
        [solve(inputs.rows(place).numpy(), epsilon) for place, epsilon in enumerate(epsilons.tolist())], axis=1
    )


def run_online(num_rows: int) -> None:
    inputs, epsilons = drawn(num_rows, (0.0, 0.01))

    def own() -> np.ndarray:
        return online.learn(inputs, epsilons, [num_rows], OnlineSettings()).weights[0].numpy()

    compare(f"online, {len(epsilons)} sets of {num_rows} rows", own, over_sets(inputs, epsilons, online_loop))


def run_hard_margin(num_rows: int) -> None:
    inputs, epsilons = drawn(num_rows, (0.0, 0.01))

    def own() -> np.ndarray:
        return hard_margin.learn(inputs, epsilons, [num_rows], HardMarginSettings()).weights[0].numpy()

    compare(f"hard_margin, {len(epsilons)} sets of {num_rows} rows", own, over_sets(inputs, epsilons, least_distance))


def run_logistic(num_rows: int) -> None:
    inputs, epsilons = drawn(num_rows, (0.0,))
    settings = LogisticSettings(penalty=1e-6)

    def own() -> np.ndarray:
        return logistic.learn(inputs, epsilons, [num_rows], settings).weights[0].numpy()

    peer = over_sets(inputs, epsilons, lambda rows, _: regression(rows, settings))
    compare(f"logistic, penalty 1e-6, {len(epsilons)} sets of {num_rows} rows", own, peer)


def run_costs(num_rows: int) -> None:
    inputs, epsilons = drawn(num_rows, (0.0,))
    print(f"angle errors of {num_rows} rows at epsilon 0; kept 1, {', '.join(map(str, FRACTIONS))}; * unfinished")
    learned = [(f"max_margin, cost {cost:g}", max_margin.learn, MaxMarginSettings(cost=cost)) for cost in (1, 100)]
    for name, learn, settings in [*learned, ("hard_margin", hard_margin.learn, HardMarginSettings())]:
        weights, converged = learn(inputs, epsilons, [num_rows], settings)
        angles = angle_errors(weights[0].numpy(), TEACHER)
        cells = (f"{angle:.4f}{'*' * (word == 'no')}" for angle, word in zip(angles, converged[0], strict=True))
        print(f"{name}: {', '.join(cells)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS])
    parser.add_argument("--rows", type=int, default=800)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # the max-margin student's own words on its steps
    runs = {"online": run_online, "hard_margin": run_hard_margin, "logistic": run_logistic, "costs": run_costs}
    for part in arguments.parts or PARTS:
        runs[part](arguments.rows)


if __name__ == "__main__":
    main()
