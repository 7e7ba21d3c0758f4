"""PUMA: each row's epsilon is its margin, bounded (eq. 2 and 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import ArtifactError, DataError
from pumalib.scores.table import ScoreTable
from pumalib.selection.epsilons import adaptive_epsilons
from pumalib.selection.policies.question import EpsilonQuestion
from pumalib.selection.settings import FromMargin


def row_epsilons(policy: FromMargin, question: EpsilonQuestion) -> NDArray[np.float32]:
    """Return the epsilon of each row inside, [M] float32, signed unless `negative` is `zero`.

    Raises:
        DataError: a row inside has no margin.
        ArtifactError: a score that is no margin in the threat's norm.
    """
    margins = _margins(policy, question.tables[policy.score], question)
    bounded = adaptive_epsilons(margins, policy.cap or question.threat.epsilon, policy.gap)
    return np.maximum(bounded, np.float32(0)) if policy.negative == "zero" else bounded


def _margins(policy: FromMargin, table: ScoreTable, question: EpsilonQuestion) -> NDArray[np.float32]:
    """Return the margins of the rows inside; a row outside needs none."""
    if table.norm != question.threat.norm:
        found = f"norm {table.norm}" if table.norm else f"no margins but {table.method} scores"
        raise ArtifactError(
            f"expected margins in the threat's norm {question.threat.norm}, got {found} in score {policy.score}; "
            "name a margin score of that norm under epsilon"
        )
    missing = int((question.inside & ~table.valid).sum())
    if missing:
        raise DataError(f"expected a margin for every row, score {policy.score} lacks {missing}; score all rows")
    return table.score[question.inside]
