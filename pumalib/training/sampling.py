"""Which rows each batch holds. Pruning a row removes it from the sequence and leaves the order of the rest alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumalib.data.pool import REAL, SYNTHETIC
from pumalib.errors import DataError
from pumalib.randomness import numpy_generator

_DRAWS = 1 << 16


@dataclass(frozen=True)
class BatchPlan:
    """How batches are mixed.

    Attributes:
        batch_size: rows per batch.
        num_batches: batches per epoch.
        synthetic_fraction: share of synthetic rows in each batch, where the pool has any.
        seed: seed of the order.
    """

    batch_size: int
    num_batches: int
    synthetic_fraction: float
    seed: int


def draw_batches(
    plan: BatchPlan, source: NDArray[np.uint8], rows: NDArray[np.int64], epoch: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the batches of one epoch.

    Real rows come without replacement (pass after pass, when an epoch needs more than there are), synthetic rows
    with replacement (Wang et al. 2023). The sequence runs over the whole pool and skips pruned rows.

    Args:
        plan: how batches are mixed.
        source: [N] uint8 of the whole pool, 0 real, 1 synthetic.
        rows: [K] int64, the selected rows.
        epoch: number of the epoch.

    Yields:
        [batch_size] int64 pool rows, real ones first.

    Raises:
        DataError: a source that batches need has no selected row.
    """
    is_kept = np.zeros(len(source), bool)
    is_kept[rows] = True
    num_synthetic = synthetic_rows_per_batch(plan, source)
    num_real = plan.batch_size - num_synthetic
    real_rows, synthetic_rows = np.flatnonzero(source == REAL), np.flatnonzero(source == SYNTHETIC)
    real = _take(_passes(plan.seed, epoch, real_rows), is_kept, num_real * plan.num_batches, real_rows, "real")
    synthetic = _take(
        _draws(plan.seed, epoch, synthetic_rows),
        is_kept,
        num_synthetic * plan.num_batches,
        synthetic_rows,
        "synthetic",
    )
    for index in range(plan.num_batches):
        yield np.concatenate(
            [
                real[index * num_real : (index + 1) * num_real],
                synthetic[index * num_synthetic : (index + 1) * num_synthetic],
            ]
        )


def without_rows(
    batches: Iterator[NDArray[np.int64]], is_left_out: NDArray[np.bool_], batch_size: int
) -> list[NDArray[np.int64]]:
    """Return the batches of an epoch without some rows: their draws are skipped, and the others fill whole batches.

    What does not fill one is left out too, unless it is all that there is.

    Args:
        batches: as `draw_batches` yields them.
        is_left_out: [N] bool, of the whole pool.
        batch_size: rows per batch.

    Raises:
        DataError: no draw is left.
    """
    drawn = np.concatenate(list(batches))
    left = drawn[~is_left_out[drawn]]
    if len(left) == 0:
        raise DataError(
            f"expected rows to train on, got none: all {len(drawn)} draws of an epoch were of rows that it leaves out; "
            "lower dynamic_pruning.fraction or raise samples_per_epoch"
        )
    return [left[start : start + batch_size] for start in range(0, max(1, len(left) - batch_size + 1), batch_size)]


def synthetic_rows_per_batch(plan: BatchPlan, source: NDArray[np.uint8]) -> int:
    """Return how many rows of a batch are synthetic: none or all where the pool has one source only."""
    if not (source == SYNTHETIC).any():
        return 0
    if not (source == REAL).any():
        return plan.batch_size
    return round(plan.synthetic_fraction * plan.batch_size)


def _passes(seed: int, epoch: int, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    number = 0
    while True:
        yield rows[numpy_generator(seed, "real order", epoch, number).permutation(len(rows))]
        number += 1


def _draws(seed: int, epoch: int, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    generator = numpy_generator(seed, "synthetic order", epoch)
    while True:
        yield rows[generator.integers(len(rows), size=_DRAWS)]


def _take(
    blocks: Iterator[NDArray[np.int64]],
    is_kept: NDArray[np.bool_],
    count: int,
    candidates: NDArray[np.int64],
    name: str,
) -> NDArray[np.int64]:
    if count == 0:
        return np.empty(0, np.int64)
    if not is_kept[candidates].any():
        raise DataError(
            f"expected selected {name} rows for the batches, got none; set synthetic_fraction or prune less"
        )
    taken: list[NDArray[np.int64]] = []
    missing = count
    while missing > 0:
        block = next(blocks)
        block = block[is_kept[block]][:missing]
        taken.append(block)
        missing -= len(block)
    return np.concatenate(taken)
