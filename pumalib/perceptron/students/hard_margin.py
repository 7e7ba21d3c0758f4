"""The hard-margin student: the largest robust margin exactly, where there is one.

    min_w  ||w||^2 / 2   subject to   y_i x_i.w - epsilon ||w||_1 >= 1  for every row.

There is a solution where some w has every robust margin above 0: the teacher itself at epsilon 0, and above it once the
filter has removed the margins of at most epsilon. Elsewhere the student says `infeasible` and has no weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pumalib.perceptron.interior_point import smallest_point
from pumalib.perceptron.learned import Learned
from pumalib.perceptron.robust_rows import RobustRows
from pumalib.perceptron.sampling import SignedInputs
from pumalib.perceptron.settings import HardMarginSettings


def learn(inputs: SignedInputs, epsilons: Tensor, num_rows: Sequence[int], settings: HardMarginSettings) -> Learned:
    """Solve one problem a curve on the first rows of its set, for each number of rows.

    Args:
        inputs: N rows of P curves.
        epsilons: [P], L-inf radii.
        num_rows: A numbers of rows, in any order.
        settings: nothing to set.

    Returns:
        Weights whose least robust margin is 1.
    """
    weights = inputs.gaussian.new_full((len(num_rows), len(inputs.teacher), len(epsilons)), torch.nan)
    words = np.full((len(num_rows), len(epsilons)), "infeasible")
    for curve, epsilon in enumerate(epsilons.tolist()):
        rows = inputs.rows(curve).double()
        # More rows only add constraints: once there is no solution, larger sets have none.
        for place in sorted(range(len(num_rows)), key=lambda place: num_rows[place]):
            robust_rows = RobustRows(rows[: num_rows[place]], epsilon)
            solution = smallest_point(robust_rows)
            if solution.word == "infeasible":
                break
            words[place, curve] = solution.word
            weights[place, :, curve] = robust_rows.weights(solution.point)
    return Learned(weights, words)
