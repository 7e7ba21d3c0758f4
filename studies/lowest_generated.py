"""The pruning rule of studies/margin-generators.yaml: every real row stays, and the generated ones of lowest margin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.selection.rule import RuleRows


def keep(rows: RuleRows) -> NDArray[np.int64]:
    """Keep all real rows, then generated rows from the lowest margin on.

    Args:
        rows: of a pool with a margin of each row, under one name.
    """
    (margins,) = rows.scores.values()
    real, generated = np.flatnonzero(rows.source == 0), np.flatnonzero(rows.source == 1)
    order = generated[np.argsort(margins[generated], kind="stable")]
    return np.concatenate([real, order])[: rows.count].astype(np.int64)
