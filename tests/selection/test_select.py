from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pumalib.errors import DataError
from pumalib.selection.cuts import Cut, apply_cut
from pumalib.selection.rule import Rule
from pumalib.selection.select import select

LADDER = np.arange(10.0)


@settings(deadline=None, max_examples=100)
@given(
    scores=st.lists(st.integers(-3, 3).map(float), min_size=2, max_size=40),
    fractions=st.tuples(st.floats(0, 0.6), st.floats(0, 0.6), st.floats(0, 0.6)),
    seed=st.integers(0, 5),
)
def test_kept_and_removed_rows_are_all_rows_with_their_reasons(
    scores: list[float], fractions: tuple[float, float, float], seed: int
) -> None:
    count = len(scores)
    cuts = [
        Cut(scores, drop="easiest", fraction=fractions[0]),
        Cut(None, fraction=fractions[1]),
        Cut(scores, drop="hardest", fraction=fractions[2]),
    ]
    epsilons = np.linspace(-1, 1, count).astype(np.float32)
    try:
        selection = select(count, cuts, epsilons, seed)
    except DataError:
        assume(False)
    assert selection.rows.tolist() == np.flatnonzero(selection.reason == -1).tolist()
    assert selection.epsilons.tolist() == epsilons[selection.rows].tolist()
    assert selection.pruned_fraction == pytest.approx(1 - len(selection.rows) / count)
    gone = np.array([outcome.removed for outcome in selection.outcomes])
    assert [int(mask.sum()) for mask in gone] == [round(fraction * count) for fraction in fractions]
    expected = np.where(gone.any(0), gone.argmax(0), -1)
    assert selection.reason.tolist() == expected.tolist()
    assert (selection.rows.dtype, selection.epsilons.dtype, selection.reason.dtype) == (np.int64, np.float32, np.int16)


def test_every_cut_looks_at_the_whole_pool() -> None:
    """Two cuts of the same 30 % remove 30 %, not 51 %: the second is not computed on what the first left."""
    cut = Cut(LADDER, drop="easiest", fraction=0.3)
    assert select(10, [cut, cut]).rows.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_both_ends_can_go() -> None:
    cuts = [Cut(LADDER, drop="easiest", fraction=0.3), Cut(LADDER, drop="hardest", at_most=1.0)]
    selection = select(10, cuts)
    assert selection.rows.tolist() == [2, 3, 4, 5, 6]
    assert selection.reason.tolist() == [1, 1, -1, -1, -1, -1, -1, 0, 0, 0]


def test_two_random_cuts_are_drawn_apart() -> None:
    selection = select(1000, [Cut(None, fraction=0.5), Cut(None, fraction=0.5)], seed=3)
    assert 200 < len(selection.rows) < 300


def test_same_seed_keeps_the_same_rows_and_another_seed_does_not() -> None:
    first, again, other = (select(50, [Cut(None, fraction=0.5)], seed=seed).rows.tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_adding_a_cut_leaves_the_ties_of_the_others_alone() -> None:
    tied = Cut(np.zeros(30), drop="easiest", fraction=0.5)
    alone = select(30, [tied], seed=2)
    with_more = select(30, [tied, Cut(None, fraction=0.1)], seed=2)
    assert alone.outcomes[0].removed.tolist() == with_more.outcomes[0].removed.tolist()


def test_no_cut_keeps_everything_with_one_epsilon_for_all() -> None:
    selection = select(4, epsilons=0.25)
    assert selection.rows.tolist() == [0, 1, 2, 3]
    assert selection.epsilons.tolist() == [0.25] * 4
    assert selection.pruned_fraction == 0


def test_seed_of_each_cut_follows_its_place() -> None:
    cut = Cut(np.zeros(40), drop="easiest", fraction=0.5)
    outcomes = select(40, [cut, cut], seed=0).outcomes
    assert outcomes[0].removed.tolist() != outcomes[1].removed.tolist()
    assert apply_cut(cut, 40, None, None, 0).removed.sum() == 20


@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint8])
def test_labels_and_sources_of_any_integer_kind_are_taken(dtype: type) -> None:
    labels, source = np.array([0, 0, 1, 1], dtype), np.array([0, 1, 0, 1], dtype)
    cut = Cut([1.0, 2.0, 3.0, 4.0], drop="easiest", fraction=0.5, scope="per_class")
    assert select(4, [cut], labels=labels, source=source).rows.tolist() == [0, 2]


def test_a_class_that_loses_all_its_rows_is_refused() -> None:
    labels = [0] * 4 + [1] * 4 + [2] * 2
    cut = Cut(LADDER, drop="easiest", fraction=0.2)
    with pytest.raises(DataError, match=r"got none of class 2 after pruning; prune less, or use scope: per_class$"):
        select(10, [cut], labels=labels)
    rule, threshold = Rule(lambda rows: np.arange(8), fraction=0.2), Cut(LADDER, at_least=8.0)
    for step in (rule, threshold):  # no scope is open to them
        with pytest.raises(DataError, match=r"got none of class 2 after pruning; prune less$"):
            select(10, [step], labels=labels)
    assert len(select(10, [cut]).rows) == 8
    per_class = Cut(LADDER, drop="easiest", fraction=0.5, scope="per_class")
    assert select(10, [per_class], labels=labels).rows.tolist() == [0, 1, 4, 5, 8]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cuts": [Cut(LADDER, at_least=-1.0)]}, "at least one row to be kept, got none"),
        ({"epsilons": [0.1, 0.2]}, r"10 epsilons, one per row, got \(2,\)"),
        ({"labels": [0]}, r"one of the labels for each of 10 images, got \[1\]"),
        ({"source": [0]}, r"one of the sources for each of 10 images, got \[1\]"),
        ({"cuts": [Cut(LADDER[:3], below=1.0)]}, "10 entries, one per row"),
    ],
)
def test_pools_and_columns_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        select(10, **options)
