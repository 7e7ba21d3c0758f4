"""Pruning rules of the studies of generators: every real row stays, and the generated ones of low margin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.selection.rule import RuleRows


def keep(rows: RuleRows) -> NDArray[np.int64]:
    """Keep all real rows, then generated rows from the lowest margin on.

    Args:
        rows: of a pool with a margin of each row, under one name.
    """
    return _real_and_lowest(rows, from_margin=-np.inf)


def keep_positive(rows: RuleRows) -> NDArray[np.int64]:
    """Keep all real rows, then generated rows from the lowest margin of at least 0 on.

    The model classifies these as their labels say. Where there are fewer such rows than asked for,
    fewer come back, and pruning refuses that.

    Args:
        rows: of a pool with a margin of each row, under one name.
    """
    return _real_and_lowest(rows, from_margin=0.0)


def _real_and_lowest(rows: RuleRows, from_margin: float) -> NDArray[np.int64]:
    """Return all real rows, then generated rows by rising margin, from ``from_margin`` on."""
    (margins,) = rows.scores.values()
    real, generated = np.flatnonzero(rows.source == 0), np.flatnonzero((rows.source == 1) & (margins >= from_margin))
    order = generated[np.argsort(margins[generated], kind="stable")]
    return np.concatenate([real, order])[: rows.count].astype(np.int64)
