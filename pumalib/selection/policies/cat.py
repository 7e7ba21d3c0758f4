"""CAT: training knows how far the epsilon of each row may grow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.selection.policies.question import EpsilonQuestion
from pumalib.training.online.settings import CatEpsilon
from pumalib.training.online.start import starting_epsilon


def row_epsilons(policy: CatEpsilon, question: EpsilonQuestion) -> NDArray[np.float32]:
    """Return the cap of each row's epsilon, [M] float32; it starts at 0 during training."""
    return question.filled(starting_epsilon(policy, question.threat.epsilon))
