from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.training.sampling import BatchPlan, draw_batches, synthetic_rows_per_batch

Rows = NDArray[np.int64]


def a_source(num_real: int, num_synthetic: int) -> NDArray[np.uint8]:
    return np.repeat(np.array([0, 1], np.uint8), [num_real, num_synthetic])


def epoch_rows(plan: BatchPlan, source: NDArray[np.uint8], rows: Rows, epoch: int = 0) -> tuple[Rows, Rows]:
    """Return the real and the synthetic stream of an epoch."""
    drawn = np.concatenate(list(draw_batches(plan, source, rows, epoch)))
    return drawn[source[drawn] == 0], drawn[source[drawn] == 1]


def is_prefix_of_filtered(sequence: Rows, full: Rows, kept: set[int]) -> bool:
    return sequence.tolist() == list(islice((row for row in full.tolist() if row in kept), len(sequence)))


@settings(deadline=None, max_examples=40)
@given(
    num_real=st.integers(1, 30),
    num_synthetic=st.integers(1, 30),
    keep=st.lists(st.booleans(), min_size=60, max_size=60),
    fraction=st.sampled_from([0.25, 0.5, 0.75]),
    epoch=st.integers(0, 3),
    seed=st.integers(0, 100),
)
def test_pruning_removes_rows_from_the_sequence_and_leaves_the_order_of_the_rest(
    num_real: int, num_synthetic: int, keep: list[bool], fraction: float, epoch: int, seed: int
) -> None:
    source = a_source(num_real, num_synthetic)
    everything = np.arange(len(source))
    kept = everything[np.array(keep[: len(source)])]
    assume((source[kept] == 0).any() and (source[kept] == 1).any())
    streams = epoch_rows(BatchPlan(8, 6, fraction, seed), source, kept, epoch)
    # the full pool, drawn long enough to hold as many kept rows
    full = epoch_rows(BatchPlan(8, 6 * 60 * 3, fraction, seed), source, everything, epoch)
    for sequence, complete in zip(streams, full, strict=True):
        assert len(sequence) > 0
        present = sum(row in set(kept.tolist()) for row in complete.tolist())
        assert present >= len(sequence)
        assert is_prefix_of_filtered(sequence, complete, set(kept.tolist()))


@settings(deadline=None, max_examples=30)
@given(
    batch_size=st.integers(1, 40), fraction=st.floats(0, 1), num_real=st.integers(1, 9), num_synthetic=st.integers(1, 9)
)
def test_every_batch_has_the_exact_mix(batch_size: int, fraction: float, num_real: int, num_synthetic: int) -> None:
    source = a_source(num_real, num_synthetic)
    plan = BatchPlan(batch_size, 3, fraction, 0)
    batches = list(draw_batches(plan, source, np.arange(len(source)), 0))
    assert [len(batch) for batch in batches] == [batch_size] * 3
    assert [int(source[batch].sum()) for batch in batches] == [round(fraction * batch_size)] * 3
    assert all((np.diff(source[batch].astype(int)) >= 0).all() for batch in batches)


@pytest.mark.parametrize(("sizes", "expected"), [((5, 0), 0), ((0, 5), 10), ((5, 5), 7)])
def test_a_pool_of_one_source_fills_the_batch(sizes: tuple[int, int], expected: int) -> None:
    source = a_source(*sizes)
    plan = BatchPlan(10, 2, 0.7, 0)
    assert synthetic_rows_per_batch(plan, source) == expected
    _, synthetic = epoch_rows(plan, source, np.arange(len(source)))
    assert len(synthetic) == 2 * expected


@settings(deadline=None, max_examples=30)
@given(kept=st.sets(st.integers(0, 19), min_size=1), seed=st.integers(0, 50))
def test_real_rows_come_once_a_pass(kept: set[int], seed: int) -> None:
    rows = np.array(sorted(kept))
    real, _ = epoch_rows(BatchPlan(5, 12, 0.5, seed), a_source(20, 0), rows)
    for start in range(0, len(real), len(rows)):
        block = real[start : start + len(rows)].tolist()
        assert len(set(block)) == len(block)
    assert set(Counter(real.tolist()).values()) <= {len(real) // len(rows), -(-len(real) // len(rows))}


def test_passes_within_an_epoch_differ_in_order() -> None:
    real, _ = epoch_rows(BatchPlan(10, 2, 0.0, 0), a_source(10, 0), np.arange(10))
    assert real[:10].tolist() != real[10:].tolist()


def test_synthetic_rows_come_with_replacement_and_evenly() -> None:
    source = a_source(1, 20)
    _, synthetic = epoch_rows(BatchPlan(100, 100, 1.0, 0), source, np.arange(21))
    assert len(set(synthetic[:20].tolist())) < 20
    counts = np.bincount(synthetic - 1, minlength=20)
    statistic = float(((counts - 500) ** 2 / 500).sum())
    assert statistic < 43.8  # the 0.999 quantile of chi-square with 19 degrees of freedom


def test_epochs_and_seeds_differ_and_the_same_repeats() -> None:
    source = a_source(30, 30)

    def drawn(seed: int, epoch: int) -> list[list[int]]:
        streams = epoch_rows(BatchPlan(10, 3, 0.5, seed), source, np.arange(60), epoch)
        return [stream.tolist() for stream in streams]

    assert drawn(0, 0) == drawn(0, 0)
    for other in (drawn(0, 1), drawn(1, 0)):
        assert all(mine != theirs for mine, theirs in zip(drawn(0, 0), other, strict=True))


def test_a_longer_epoch_begins_like_a_shorter_one() -> None:
    source = a_source(30, 30)
    short, long = (epoch_rows(BatchPlan(10, count, 0.5, 0), source, np.arange(60)) for count in (2, 9))
    for a, b in zip(short, long, strict=True):
        assert b[: len(a)].tolist() == a.tolist()


@pytest.mark.parametrize(("rows", "name"), [([3, 4], "real"), ([0, 1], "synthetic")])
def test_a_source_that_batches_need_must_have_a_kept_row(rows: list[int], name: str) -> None:
    with pytest.raises(DataError, match=f"selected {name} rows"):
        next(draw_batches(BatchPlan(4, 1, 0.5, 0), a_source(3, 2), np.array(rows), 0))


@pytest.mark.parametrize(("fraction", "rows"), [(0.0, [0, 1]), (1.0, [3, 4])])
def test_a_source_that_no_batch_needs_may_be_pruned_whole(fraction: float, rows: list[int]) -> None:
    batches = list(draw_batches(BatchPlan(4, 2, fraction, 0), a_source(3, 2), np.array(rows), 0))
    assert set(np.concatenate(batches).tolist()) <= set(rows)


def test_one_kept_row_a_source_is_enough() -> None:
    batches = list(draw_batches(BatchPlan(4, 2, 0.5, 0), a_source(3, 70_000), np.array([2, 60_000]), 0))
    assert [batch.tolist() for batch in batches] == [[2, 2, 60_000, 60_000]] * 2
