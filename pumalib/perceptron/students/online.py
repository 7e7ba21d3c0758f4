"""The online student: Rosenblatt's perceptron rule, one pass, on FGSM examples of its own weights."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pumalib.perceptron.learned import Learned, as_words
from pumalib.perceptron.sampling import SignedInputs
from pumalib.perceptron.settings import OnlineSettings

_Array = NDArray[np.floating]


def learn(inputs: SignedInputs, epsilons: Tensor, num_rows: Sequence[int], settings: OnlineSettings) -> Learned:
    """Pass once over the sets and return the weights after each number of rows.

    A row is learned where its FGSM example is on the wrong side or on the boundary: ``w += y x'``. Rows come one after
    the other and curves side by side, on the CPU: a row is too little work for another device.

    Args:
        inputs: N rows of P curves.
        epsilons: [P] float32, L-inf radii.
        num_rows: A numbers of rows, in any order.
        settings: nothing to set.

    Returns:
        Weights; converged everywhere, because the pass has an end.
    """
    gaussian, teacher, shift, radii = (
        part.cpu().numpy() for part in (inputs.gaussian, inputs.teacher, inputs.shift, epsilons)
    )
    pass_ = _Pass(teacher, radii)
    after = {}
    for row in range(max(num_rows)):
        pass_.see(gaussian[row], shift[row])
        if row + 1 in num_rows:
            after[row + 1] = pass_.weights.T.copy()
    weights = torch.from_numpy(np.stack([after[count] for count in num_rows])).to(inputs.gaussian.device)
    return Learned(weights, as_words(np.ones((len(num_rows), len(radii)), bool)))


class _Pass:
    """The students of all curves: weights [P, K], and of each the L1 norm and the product with the teacher."""

    def __init__(self, teacher: _Array, epsilons: _Array) -> None:
        self.teacher, self.epsilons = teacher, epsilons
        self.weights = np.zeros((len(epsilons), len(teacher)), teacher.dtype)
        self.norms, self.overlaps = np.zeros_like(epsilons), np.zeros_like(epsilons)

    def see(self, gaussian: _Array, shift: _Array) -> None:
        """Show every student its next row, ``gaussian + shift teacher``; those that are wrong learn it."""
        products = self.weights @ gaussian + shift * self.overlaps
        wrong = np.flatnonzero(products <= self.epsilons * self.norms)
        learning = self.weights[wrong]
        learning -= self.epsilons[wrong, None] * np.sign(learning)
        learning += gaussian
        learning += shift[wrong, None] * self.teacher
        self.weights[wrong] = learning
        self.norms[wrong] = np.abs(learning).sum(1)
        self.overlaps[wrong] = learning @ self.teacher
