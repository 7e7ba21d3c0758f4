"""The batched students against plain NumPy loops over sets, rows and steps, in one process and one thread.

    OMP_NUM_THREADS=1 python benchmarks/perceptron.py [online] [logistic] [grid]

`online`, `logistic`: seconds of both, their ratio, and how far their errors are apart; online students may part where
rounding decides about a row. `grid`: seconds that a step of the logistic and the max-margin student takes on the whole
grid of studies/paper-perceptron.yaml (one teacher, one seed), and the time of the study that follows from them.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from pumalib.perceptron.overlap import angle_errors
from pumalib.perceptron.sampling import SignedInputs, curves_of, draw_signed_inputs
from pumalib.perceptron.settings import LogisticSettings, MaxMarginSettings, OnlineSettings, PerceptronSettings
from pumalib.perceptron.stage import rows_at
from pumalib.perceptron.students import logistic, max_margin, online
from pumalib.perceptron.study import PerceptronStudy
from pumalib.perceptron.teachers import teacher_direction
from pumalib.study.file import load_study

STUDY = Path(__file__).parents[1] / "studies/paper-perceptron.yaml"
LOOP_STEPS = 20


def online_loop(rows: np.ndarray, epsilon: float) -> np.ndarray:
    weights = np.zeros(rows.shape[1], np.float32)
    for row in rows:
        attacked = row - epsilon * np.sign(weights)
        if attacked @ weights <= 0:
            weights += attacked
    return weights


def logistic_loop(rows: np.ndarray, epsilon: float, settings: LogisticSettings) -> np.ndarray:
    weights = np.zeros(rows.shape[1], np.float32)
    velocity = np.zeros_like(weights)
    for step in range(settings.steps):
        ahead = weights + settings.momentum * velocity
        attacked = rows - epsilon * np.sign(ahead)
        pull = 1 / (1 + np.exp(attacked @ ahead)) / len(rows)
        rate = settings.learning_rate * (1 - step / settings.steps)
        velocity = settings.momentum * velocity + rate * (attacked.T @ pull)
        weights += velocity
    return weights


def seconds_of(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def drawn(grid: PerceptronSettings) -> tuple[SignedInputs, torch.Tensor, list[int]]:
    """Draw the grid's sets for the axis teacher and one seed."""
    num_rows = [rows_at(alpha, grid.num_features) for alpha in grid.alphas]
    curves = curves_of(grid)
    teacher = teacher_direction("axis", grid.num_features, 0)
    inputs = draw_signed_inputs(curves, teacher, max(num_rows), 0, torch.device("cpu"))
    return inputs, torch.tensor([curve.epsilon for curve in curves]), num_rows


def compare(name: str, batched: Callable[[], object], loop: Callable[[], object]) -> None:
    (fast, weights), (slow, expected) = seconds_of(batched), seconds_of(loop)
    teacher = teacher_direction("axis", len(np.asarray(weights)), 0)
    apart = np.abs(angle_errors(np.asarray(weights), teacher) - angle_errors(np.asarray(expected), teacher))
    print(
        f"{name}: batched {fast:.2f} s, loop {slow:.2f} s, ratio {slow / fast:.1f}; "
        f"angle errors apart by {np.median(apart):.1e} (median), {apart.max():.1e} (largest)"
    )


def online_against_a_loop(inputs: SignedInputs, epsilons: torch.Tensor, num_rows: list[int]) -> None:
    sets = [inputs.rows(place).numpy() for place in range(len(epsilons))]
    compare(
        f"online, {len(sets)} sets of {len(sets[0])} rows",
        lambda: online.learn(inputs, epsilons, num_rows, OnlineSettings())[-1],
        lambda: np.stack([online_loop(*pair) for pair in zip(sets, epsilons.tolist(), strict=True)], axis=1),
    )


def logistic_against_a_loop(inputs: SignedInputs, epsilons: torch.Tensor) -> None:
    settings, count = LogisticSettings(steps=LOOP_STEPS), 1600
    sets = [inputs.rows(place).numpy()[:count] for place in range(len(epsilons))]
    compare(
        f"logistic, {len(sets)} sets of {count} rows, {LOOP_STEPS} steps",
        lambda: logistic.learn(inputs, epsilons, [count], settings)[0],
        lambda: np.stack(
            [logistic_loop(*pair, settings) for pair in zip(sets, epsilons.tolist(), strict=True)], axis=1
        ),
    )


def whole_grid(study: PerceptronStudy, inputs: SignedInputs, epsilons: torch.Tensor, num_rows: list[int]) -> None:
    students, seeds = study.settings.perceptron.students, len(study.settings.seeds)
    teachers = len(study.settings.perceptron.teachers)
    runs: dict[str, Callable[[int], object]] = {
        "logistic": lambda n: logistic.learn(inputs, epsilons, num_rows, LogisticSettings(steps=n)),
        "max_margin": lambda n: max_margin.learn(inputs, epsilons, num_rows, MaxMarginSettings(steps=n)),
    }
    for name, run in runs.items():
        few, many = (seconds_of(partial(run, steps))[0] for steps in (LOOP_STEPS, 2 * LOOP_STEPS))
        each = (many - few) / LOOP_STEPS
        steps = getattr(students, name).steps
        print(
            f"{name}: {each:.4f} s a step; {steps} steps, {seeds} seeds: {each * steps * seeds:.0f} s a teacher, "
            f"{each * steps * seeds * teachers:.0f} s for {teachers} teachers, of one core"
        )


def main() -> None:
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)  # so few steps leave the max-margin student unfinished
    study = load_study(STUDY)
    assert isinstance(study, PerceptronStudy)
    inputs, epsilons, num_rows = drawn(study.settings.perceptron)
    wanted = sys.argv[1:] or ["online", "logistic", "grid"]
    if "online" in wanted:
        online_against_a_loop(inputs, epsilons, num_rows)
    if "logistic" in wanted:
        logistic_against_a_loop(inputs, epsilons)
    if "grid" in wanted:
        whole_grid(study, inputs, epsilons, num_rows)


if __name__ == "__main__":
    main()
