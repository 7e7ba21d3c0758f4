"""The logistic student: the minimum of the logistic loss on FGSM examples of its own weights, with a small penalty.

    min_w  mean_i log(1 + exp(-(y_i x_i.w - epsilon ||w||_1))) + penalty ||w||^2 / 2

Without a penalty separable data have no minimum: the weights grow without end. Their direction then tends to that of
the hard margin, but only with the logarithm of the number of steps of a descent (Soudry et al. 2018), so that where a
descent stops decides what is learned. With a small penalty there is one minimum, near the same limit (Rosset et al.
2004). The penalty is a choice of ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from pumalib.perceptron.learned import Learned, as_words
from pumalib.perceptron.projected_newton import minimise_logistic
from pumalib.perceptron.robust_rows import RobustRows
from pumalib.perceptron.sampling import SignedInputs
from pumalib.perceptron.settings import LogisticSettings


def learn(inputs: SignedInputs, epsilons: Tensor, num_rows: Sequence[int], settings: LogisticSettings) -> Learned:
    """Train one student a curve on the first rows of its set, for each number of rows.

    Args:
        inputs: N rows of P curves.
        epsilons: [P], L-inf radii.
        num_rows: A numbers of rows.
        settings: of the loss and its minimisation.
    """
    weights = inputs.gaussian.new_zeros(len(num_rows), len(inputs.teacher), len(epsilons))
    is_converged = np.zeros((len(num_rows), len(epsilons)), bool)
    for curve, epsilon in enumerate(epsilons.tolist()):
        rows = inputs.rows(curve).double()
        for place, count in enumerate(num_rows):
            robust_rows = RobustRows(rows[:count], epsilon)
            minimum = minimise_logistic(robust_rows, settings.penalty, settings.steps, settings.tolerance)
            weights[place, :, curve] = robust_rows.weights(minimum.point)
            is_converged[place, curve] = minimum.is_converged
    return Learned(weights, as_words(is_converged))
