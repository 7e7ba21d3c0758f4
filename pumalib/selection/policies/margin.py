"""PUMA: each row's epsilon is its margin, bounded (eq. 2 and 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.selection.epsilons import adaptive_epsilons
from pumalib.selection.margins import expect_margins
from pumalib.selection.policies.question import EpsilonQuestion
from pumalib.selection.settings import FromMargin


def row_epsilons(policy: FromMargin, question: EpsilonQuestion) -> NDArray[np.float32]:
    """Return the epsilon of each row inside, [M] float32, signed unless `negative` is `zero`.

    Raises:
        DataError: a row inside has no margin.
        ArtifactError: a score that is no margin in the threat's norm.
    """
    table, threat = question.tables[policy.score], question.threat
    margins = expect_margins(policy.score, table, threat.norm, question.inside, "epsilon")
    bounded = adaptive_epsilons(margins, policy.cap or threat.epsilon, policy.gap)
    return np.maximum(bounded, np.float32(0)) if policy.negative == "zero" else bounded
