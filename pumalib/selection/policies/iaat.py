"""IAAT: training starts from the epsilon of its warm-up."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.selection.policies.question import EpsilonQuestion
from pumalib.training.online.settings import IaatEpsilon
from pumalib.training.online.start import starting_epsilon


def row_epsilons(policy: IaatEpsilon, question: EpsilonQuestion) -> NDArray[np.float32]:
    """Return where training starts to look for the epsilon of each row, [M] float32."""
    return question.filled(starting_epsilon(policy, question.threat.epsilon))
