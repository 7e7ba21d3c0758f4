"""Two estimates of the same rows' margins, held against each other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.reporting.files import markdown_table
from pumalib.reporting.statistics import rank_correlation


class Agreement(NamedTuple):
    """How far two estimates agree on the rows that both scored."""

    num_rows: int
    rank_correlation: float
    """Spearman's; nan if either has one value only."""
    mean_absolute_difference: float
    """Pixel scale."""
    same_sign: float
    """Share of rows that both or neither call misclassified."""
    within_epsilon: float
    """Share of rows with |margin| < epsilon for both."""


def margin_agreement(first: NDArray[np.float32], second: NDArray[np.float32], epsilon: float) -> Agreement:
    """Compare two estimates of the margins [N] of the same rows.

    Raises:
        DataError: If lengths differ, there is no row or a margin is not finite.
    """
    if first.shape != second.shape or len(first) == 0:
        raise DataError(
            f"expected two margins of each row, got {len(first)} and {len(second)}; score both over all rows"
        )
    one, other = first.astype(np.float64), second.astype(np.float64)
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        raise DataError("expected finite margins; leave out the rows that were not scored (valid = False)")
    within = (np.abs(one) < epsilon) & (np.abs(other) < epsilon)
    return Agreement(
        len(one),
        rank_correlation(one, other),
        float(np.abs(one - other).mean()),
        float(((one < 0) == (other < 0)).mean()),
        float(within.mean()),
    )


def agreement_section(agreement: Agreement, score: str, beside: str) -> str:
    """Return the agreement as a table, and what it is of."""
    rows = [
        ["rank correlation (Spearman)", f"{agreement.rank_correlation:.4f}"],
        ["mean absolute difference (pixel scale)", f"{agreement.mean_absolute_difference:.4g}"],
        ["same sign", f"{100 * agreement.same_sign:.2f} %"],
        ["\\|margin\\| < epsilon for both", f"{100 * agreement.within_epsilon:.2f} %"],
    ]
    return (
        f"`{score}` against `{beside}`, over the {agreement.num_rows} rows that both scored:\n\n"
        f"{markdown_table(['agreement', 'value'], rows)}"
    )
