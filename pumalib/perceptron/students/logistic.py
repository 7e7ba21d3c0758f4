"""The logistic student: full-batch gradient descent with Nesterov momentum on FGSM examples of its own weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pumalib.perceptron.sampling import SignedInputs
from pumalib.perceptron.settings import LogisticSettings


def learn(inputs: SignedInputs, epsilons: Tensor, num_rows: Sequence[int], settings: LogisticSettings) -> Tensor:
    """Train one student a curve on the first rows of its set, for each number of rows.

    Args:
        inputs: N rows of P curves.
        epsilons: [P] float32, L-inf radii.
        num_rows: A numbers of rows.
        settings: of the descent.

    Returns:
        Weights, [A, K, P].
    """
    return torch.stack([_descend(inputs.first(count), epsilons, settings) for count in num_rows])


def _descend(inputs: SignedInputs, epsilons: Tensor, settings: LogisticSettings) -> Tensor:
    weights = inputs.gaussian.new_zeros(len(inputs.teacher), len(epsilons))
    velocity = torch.zeros_like(weights)
    for step in range(settings.steps):
        rate = settings.learning_rate * (1 - step / settings.steps)
        gradient = loss_gradient(inputs, weights + settings.momentum * velocity, epsilons)
        velocity.mul_(settings.momentum).sub_(gradient, alpha=rate)
        weights += velocity
    return weights


def loss_gradient(inputs: SignedInputs, weights: Tensor, epsilons: Tensor) -> Tensor:
    """Return the gradient of the mean logistic loss on FGSM examples, [K, P].

    FGSM moves an input by ``-epsilon y sign(w)``, which for a linear student is the worst perturbation in the ball: the
    loss is that of the robust margin ``y x.w - epsilon ||w||_1``.
    """
    robust_margins = inputs.products(weights).sub_(epsilons * weights.abs().sum(0))
    pull = robust_margins.neg_().sigmoid_().div_(len(robust_margins))
    return epsilons * pull.sum(0) * weights.sign() - inputs.combination(pull)
