"""The rows that an epsilon policy is for: those on one side of a threshold (PUMA Table 7)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pumalib.scores.table import ScoreTable
from pumalib.selection.settings import WhereSettings
from pumalib.selection.thresholds import THRESHOLDS, beyond


def rows_inside(where: WhereSettings, tables: Mapping[str, ScoreTable]) -> NDArray[np.bool_]:
    """Return which rows a policy is for, [N] bool; a row whose score is not valid is outside."""
    table = tables[where.score]
    threshold, value = next((name, value) for name in THRESHOLDS if (value := getattr(where, name)) is not None)
    return beyond(table.score, threshold, value) & table.valid
