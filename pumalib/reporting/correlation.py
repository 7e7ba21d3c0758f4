"""Two score tables of one pool held against each other: do they find the same rows hard?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.reporting.overlap import different_pools
from pumalib.reporting.statistics import linear_correlation, rank_correlation
from pumalib.scores.table import ScoreTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NUM_HEXAGONS = 40


@dataclass(frozen=True)
class Correlation:
    """How two scores go together, over the rows that both scored.

    Both are turned so that higher means harder (`higher_is`): a positive correlation means that they agree.

    Attributes:
        rows: [R] int64, numbers of the rows that have both scores.
        first_hardness, second_hardness: [R] float64, the scores, turned.
        pearson, spearman: correlations in [-1, 1]; nan if either score has one value only.
    """

    rows: NDArray[np.int64]
    first_hardness: NDArray[np.float64]
    second_hardness: NDArray[np.float64]
    pearson: float
    spearman: float


def compare_scores(first: ScoreTable, second: ScoreTable) -> Correlation:
    """Correlate two scores of one pool over the rows that both scored.

    Args:
        first: one table.
        second: the other one.

    Returns:
        Pearson's and Spearman's correlation, and the scores, turned so that higher is harder.

    Raises:
        DataError: scores of different pools, of different shards, without a row in common, or with bounded rows.

    Example:
        >>> from pumalib import read_scores
        >>> margins = read_scores("results/digits/scores/margin/seed0.h5")
        >>> round(compare_scores(margins, margins).spearman, 6)
        1.0
    """
    if first.pool_fingerprint != second.pool_fingerprint:
        raise DataError(different_pools("score tables", first.pool_fingerprint, second.pool_fingerprint))
    if (first.first_row, len(first.score)) != (second.first_row, len(second.score)):
        raise DataError("expected two tables of the whole pool, got a shard; give the tables above the shards")
    rows = np.flatnonzero(first.valid & second.valid)
    if not len(rows):
        raise DataError("expected rows with both scores, got none")
    if bounded := int((first.bounded | second.bounded)[rows].sum()):
        raise DataError(
            f"expected scores that are measured to their end, got {bounded} of {len(rows)} rows that stop at up_to, "
            "whose ranks are not known; score the pool again without up_to"
        )
    one, other = first.hardness[rows], second.hardness[rows]
    pearson, spearman = linear_correlation(one, other), rank_correlation(one, other)
    return Correlation(rows + first.first_row, one, other, pearson, spearman)


def draw_scores(
    correlation: Correlation, first: ScoreTable, second: ScoreTable, names: tuple[str, str], path: Path
) -> None:
    """Write a PNG of `plot_scores`."""
    from pumalib.reporting.figures import save_png

    save_png(plot_scores(correlation, first, second, names), path)


def plot_scores(correlation: Correlation, first: ScoreTable, second: ScoreTable, names: tuple[str, str]) -> Figure:
    """Draw one score against the other, as they are: rows per hexagon.

    Args:
        correlation: of `compare_scores`.
        first: on the x axis.
        second: on the y axis.
        names: of the two.
    """
    from matplotlib.colors import LogNorm

    from pumalib.reporting.figures import COLUMN_WIDTH_INCHES, figure_style, new_figure, plain_log_ticks

    rows = correlation.rows - first.first_row
    with figure_style():
        figure, (axes,) = new_figure(COLUMN_WIDTH_INCHES, 2.9)
        drawn = axes.hexbin(first.score[rows], second.score[rows], gridsize=_NUM_HEXAGONS, mincnt=1, cmap="viridis")
        most = max(drawn.get_clim()[1], 2)
        drawn.set_norm(LogNorm(1, most))
        axes.set_xlabel(_axis(names[0], first))
        axes.set_ylabel(_axis(names[1], second))
        axes.set_title(f"{len(rows)} rows, rank correlation {correlation.spearman:.3f}")
        key = figure.colorbar(drawn, ax=axes, label="rows per hexagon")
        plain_log_ticks(key.ax.yaxis, is_dense=most < 50)
    return figure


def _axis(name: str, table: ScoreTable) -> str:
    return f"{name} ({', '.join(part for part in (table.unit, f'higher is {table.higher_is}') if part)})"
