"""One epsilon for all rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.selection.policies.question import EpsilonQuestion
from pumalib.selection.settings import FixedEpsilon


def row_epsilons(policy: FixedEpsilon, question: EpsilonQuestion) -> NDArray[np.float32]:
    """Return the epsilon of each row inside, [M] float32: the policy's, or the threat's."""
    return question.filled(policy.epsilon or question.threat.epsilon)
