"""The epsilon of each row of a pool, as a policy says: before any cut, and before the controls."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import ArtifactError, DataError
from pumalib.scores.table import ScoreTable
from pumalib.selection.cuts import beyond
from pumalib.selection.epsilons import adaptive_epsilons
from pumalib.selection.settings import (
    EpsilonSettings,
    FixedEpsilon,
    FromMargin,
    IaatEpsilon,
    OnlineMarginEpsilon,
    WhereSettings,
)


def row_epsilons(
    policy: EpsilonSettings, tables: Mapping[str, ScoreTable], num_rows: int, threat_epsilon: float, threat_norm: str
) -> NDArray[np.float32]:
    """Return the epsilon of every row of the pool, [N] float32, pixel scale, signed.

    Rows outside `where` get `otherwise`, or the threat's epsilon. For the policies that find epsilons during
    training it is where they start: the cap of `online_margin`, the epsilon of the warm-up of `iaat`.

    Args:
        policy: settings of the policy.
        tables: the scores it reads, by name.
        num_rows: rows of the pool, N.
        threat_epsilon: default radius and cap, pixel scale.
        threat_norm: norm the margins must be in.

    Raises:
        DataError: a row that needs a margin has none.
        ArtifactError: a score that is no margin in the threat's norm.
    """
    if isinstance(policy, OnlineMarginEpsilon):
        return np.full(num_rows, policy.cap or threat_epsilon, np.float32)
    if isinstance(policy, IaatEpsilon):
        return np.full(num_rows, min(policy.cap or threat_epsilon, threat_epsilon), np.float32)
    inside = rows_inside(policy.where, tables, num_rows)
    epsilons = np.full(num_rows, threat_epsilon if policy.otherwise is None else policy.otherwise, np.float32)
    if isinstance(policy, FixedEpsilon):
        epsilons[inside] = policy.epsilon or threat_epsilon
    else:
        margins = _margins(policy, tables[policy.score], inside, threat_norm)
        bounded = adaptive_epsilons(margins, policy.cap or threat_epsilon, policy.gap)
        epsilons[inside] = np.maximum(bounded, np.float32(0)) if policy.negative == "zero" else bounded
    return epsilons


def rows_inside(where: WhereSettings | None, tables: Mapping[str, ScoreTable], num_rows: int) -> NDArray[np.bool_]:
    """Return which rows a policy is for, [N] bool; a row whose score is not valid is outside."""
    if where is None:
        return np.ones(num_rows, bool)
    table = tables[where.score]
    threshold, value = where.threshold
    return beyond(table.score, threshold, value) & table.valid


def _margins(policy: FromMargin, table: ScoreTable, inside: NDArray[np.bool_], threat_norm: str) -> NDArray[np.float32]:
    """Return the margins of the rows inside; a row outside needs none."""
    if table.norm != threat_norm:
        found = f"norm {table.norm}" if table.norm else f"no margins but {table.method} scores"
        raise ArtifactError(
            f"expected margins in the threat's norm {threat_norm}, got {found} in score {policy.score}; "
            "name a margin score of that norm under epsilon"
        )
    missing = int((inside & ~table.valid).sum())
    if missing:
        raise DataError(f"expected a margin for every row, score {policy.score} lacks {missing}; score all rows")
    return table.score[inside]
