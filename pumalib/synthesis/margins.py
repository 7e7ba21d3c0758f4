"""Margins as conditions of a generator: the quantile in [0, 1] of a margin among those of the train rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pumalib.data.datasets import split_fingerprint
from pumalib.data.settings import AskedMarginSettings
from pumalib.errors import DataError
from pumalib.files.artifacts import content_fingerprint
from pumalib.files.origin import Input
from pumalib.randomness import uniform_per_row
from pumalib.scores.table import read_scores


def read_margins(score: Path, dataset: Path) -> tuple[NDArray[np.float32], Input]:
    """Read the margin of each train row of a dataset.

    Args:
        score: score table of a pool that holds the train rows and no others.
        dataset: dataset file.

    Returns:
        [N] float32, pixel scale, below 0 where a row is misclassified, nan where it was not scored; and the table as an
        input.

    Raises:
        ArtifactError: not a score table, or one of another pool.
        DataError: no row was scored.
    """
    train_rows_alone = content_fingerprint(split_fingerprint(dataset, "train"))  # as `data.pool` takes it
    table = read_scores(score, train_rows_alone)
    if not table.valid.any():
        raise DataError(f"expected margins of train rows in {score}, got none of any row; score the pool again")
    margins = np.where(table.valid, table.score, np.float32(np.nan))
    return margins, Input(score, content_fingerprint(table.score, table.valid))


def sorted_margins(margins: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the margins that are known, [K], the smallest first: the table that quantiles are read off."""
    return np.sort(margins[~np.isnan(margins)])


def quantiles_of(margins: NDArray[np.float32], table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the quantile of each margin: the share of the table below it, of equal ones half.

    Args:
        margins: [N], nan where not known.
        table: [K] from `sorted_margins`.

    Returns:
        [N] float32 in [0, 1]; nan where the margin is not known.
    """
    below, up_to = (np.searchsorted(table, margins, side) for side in ("left", "right"))
    quantiles = (below + up_to) / (2 * len(table))
    return np.where(np.isnan(margins), np.nan, quantiles).astype(np.float32)


def draw_margins(
    asked: AskedMarginSettings, table: NDArray[np.float32], seed: int, indices: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Draw a margin for each sample, evenly among those of the train rows in the range that is asked for.

    Each sample has a random stream of its own, so that its margin depends on its index alone.

    Args:
        asked: the range.
        table: [K] from `sorted_margins`.
        seed: determines the margins, together with the indices.
        indices: [M] of the samples.

    Returns:
        [M] float32.

    Raises:
        DataError: no train row's margin is in the range.
    """
    first = 0 if asked.above is None else int(np.searchsorted(table, asked.above, "left"))
    last = len(table) if asked.below is None else int(np.searchsorted(table, asked.below, "left"))
    if first >= last:
        raise DataError(
            f"expected a range that margins of train rows are in, which go from {table[0]:.4g} to {table[-1]:.4g}, "
            f"got {asked.spelled}; ask for another range under margin of the pool"
        )
    shares = (uniform_per_row(seed, indices, ()).astype(np.float64) + 1) / 2  # [M] in [0, 1)
    return table[first + np.floor(shares * (last - first)).astype(np.int64)]
