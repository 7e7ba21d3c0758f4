"""The rows that an epsilon policy is for: those on one side of a threshold (PUMA Table 7)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.scores.table import ScoreTable
from pumalib.selection.bounds import undecided
from pumalib.selection.settings import WhereSettings
from pumalib.selection.thresholds import THRESHOLDS, beyond


def rows_inside(where: WhereSettings, tables: Mapping[str, ScoreTable]) -> NDArray[np.bool_]:
    """Return which rows a policy is for, [N] bool; a row whose score is not valid is outside.

    Raises:
        DataError: a score that is a bound short of the threshold.
    """
    table = tables[where.score]
    threshold, value = next((name, value) for name in THRESHOLDS if (value := getattr(where, name)) is not None)
    if count := int((undecided(table.score, table.bounded, threshold, value) & table.valid).sum()):
        raise DataError(
            f"expected every row {threshold.replace('_', ' ')} {value:.4g} or not by score {where.score}, got {count} "
            "whose score is a bound short of it; raise up_to of the score, or leave it out"
        )
    return beyond(table.score, threshold, value) & table.valid
