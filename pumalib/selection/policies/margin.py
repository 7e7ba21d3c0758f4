"""PUMA: each row's epsilon is its margin, bounded (eq. 2 and 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.selection.epsilons import adaptive_epsilons
from pumalib.selection.margins import MarginsAsked, expect_margins
from pumalib.selection.policies.question import EpsilonQuestion
from pumalib.selection.settings import FromMargin


def row_epsilons(policy: FromMargin, question: EpsilonQuestion) -> NDArray[np.float32]:
    """Return the epsilon of each row inside, [M] float32, signed unless `negative` is `zero`.

    Raises:
        DataError: a row inside has no margin, or one that is a bound below the cap and the gap.
        ArtifactError: a score that is no margin in the threat's norm.
    """
    threat = question.threat
    cap = policy.cap or threat.epsilon
    # A margin beyond cap and gap gives the cap, however long it is: so bounds there give the epsilons of whole margins.
    asked = MarginsAsked(policy.score, threat.norm, cap + policy.gap, "epsilon")
    margins = expect_margins(asked, question.tables[policy.score], question.inside)
    bounded = adaptive_epsilons(margins, cap, policy.gap)
    return np.maximum(bounded, np.float32(0)) if policy.negative == "zero" else bounded
