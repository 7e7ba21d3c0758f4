"""The online student: Rosenblatt's perceptron rule, one pass, on FGSM examples of its own weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pumalib.perceptron.sampling import SignedInputs
from pumalib.perceptron.settings import OnlineSettings


def learn(inputs: SignedInputs, epsilons: Tensor, num_rows: Sequence[int], settings: OnlineSettings) -> Tensor:
    """Pass once over the sets and return the weights after each number of rows.

    A row is learned where its FGSM example is on the wrong side or on the boundary: ``w += y x'``.

    Args:
        inputs: N rows of P curves.
        epsilons: [P] float32, L-inf radii.
        num_rows: A numbers of rows, in any order.
        settings: nothing to set.

    Returns:
        Weights, [A, K, P].
    """
    weights = inputs.gaussian.new_zeros(len(inputs.teacher), len(epsilons))
    after = {0: weights.clone()}
    for row in range(max(num_rows)):
        _see(weights, inputs.gaussian[row], inputs.teacher, inputs.shift[row], epsilons)
        if row + 1 in num_rows:
            after[row + 1] = weights.clone()
    return torch.stack([after[count] for count in num_rows])


def _see(weights: Tensor, gaussian: Tensor, teacher: Tensor, shift: Tensor, epsilons: Tensor) -> None:
    products = gaussian @ weights + shift * (teacher @ weights)
    is_wrong = (products <= epsilons * weights.abs().sum(0)).to(weights.dtype)
    change = torch.outer(gaussian, is_wrong).addr_(teacher, shift * is_wrong)
    weights += change.addcmul_(weights.sign(), epsilons * is_wrong, value=-1)
