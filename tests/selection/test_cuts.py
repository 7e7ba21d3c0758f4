from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.selection.cuts import Cut, CutOutcome, apply_cut, combine, dropped_side

TEN = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3], float)

SCORES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=40)
FRACTIONS = st.floats(0, 0.99)


def removed(cut: Cut, seed: int = 0, labels: Any = None, source: Any = None) -> list[int]:
    num_rows = len(np.asarray(cut.score)) if cut.score is not None else 10
    columns = (None if labels is None else np.asarray(labels), None if source is None else np.asarray(source, np.uint8))
    return np.flatnonzero(apply_cut(cut, num_rows, *columns, seed).removed).tolist()


@pytest.mark.parametrize(
    ("drop", "higher_is", "expected"),
    [
        ("easiest", "easier", [4, 5, 7, 8]),
        ("hardest", "harder", [4, 5, 7, 8]),
        ("hardest", "easier", [1, 3, 6]),
        ("easiest", "harder", [1, 3, 6]),
    ],
)
def test_fraction_takes_the_side_asked_for(drop: Any, higher_is: Any, expected: list[int]) -> None:
    cut = Cut(TEN, drop=drop, higher_is=higher_is, fraction=len(expected) / 10)
    assert removed(cut) == expected


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        ({"below": 3.0}, [1, 3, 6]),
        ({"at_most": 3.0}, [0, 1, 3, 6, 9]),
        ({"at_least": 5.0}, [4, 5, 7, 8]),
        ({"above": 5.0}, [5, 7]),
    ],
)
@pytest.mark.parametrize("higher_is", ["easier", "harder"])
def test_threshold_compares_whatever_higher_means(threshold: Any, higher_is: Any, expected: list[int]) -> None:
    outcome = apply_cut(Cut(TEN, higher_is=higher_is, **threshold), 10, None, None, 0)
    assert np.flatnonzero(outcome.removed).tolist() == expected
    assert outcome.value == next(iter(threshold.values()))


@pytest.mark.parametrize(
    ("threshold", "expected"), [("below", []), ("at_most", [0]), ("at_least", [0, 1]), ("above", [1])]
)
def test_float32_scores_equal_to_the_threshold_are_equal_to_it(threshold: str, expected: list[int]) -> None:
    """1/50 stored as float32 lies a little below 0.02 in float64; a difficulty of 1/50 is not below 0.02."""
    scores = np.array([1 / 50, 3 / 50], np.float32)
    assert float(scores[0]) < 0.02
    assert removed(Cut(scores, **{threshold: 0.02})) == expected


@settings(deadline=None, max_examples=150)
@given(
    scores=SCORES,
    fraction=FRACTIONS,
    drop=st.sampled_from(["easiest", "hardest"]),
    higher_is=st.sampled_from(["easier", "harder"]),
    seed=st.integers(0, 9),
)
def test_fraction_removes_exactly_its_count_from_the_end_of_the_ranking(
    scores: list[float], fraction: float, drop: Any, higher_is: Any, seed: int
) -> None:
    cut = Cut(scores, drop=drop, fraction=fraction, higher_is=higher_is)
    outcome = apply_cut(cut, len(scores), None, None, seed)
    gone, kept = np.array(scores)[outcome.removed], np.array(scores)[~outcome.removed]
    assert len(gone) == round(fraction * len(scores))
    takes_high = (drop == "easiest") == (higher_is == "easier")
    if len(gone) and len(kept):
        assert gone.min() >= kept.max() if takes_high else gone.max() <= kept.min()
    if len(gone):
        assert outcome.value == (gone.min() if takes_high else gone.max())
    else:
        assert np.isnan(outcome.value)


@settings(deadline=None, max_examples=60)
@given(scores=SCORES, fraction=FRACTIONS, scope=st.sampled_from(["per_class", "per_source"]), data=st.data())
def test_scopes_remove_the_fraction_of_each_group_on_its_own(
    scores: list[float], fraction: float, scope: Any, data: st.DataObject
) -> None:
    count = len(scores)
    key = np.array(data.draw(st.lists(st.integers(0, 1), min_size=count, max_size=count)))
    other = 1 - key
    labels, source = (key, other) if scope == "per_class" else (other, key)
    cut = Cut(scores, drop="easiest", fraction=fraction, scope=scope)
    gone = apply_cut(cut, count, labels, source.astype(np.uint8), 0).removed
    for group in (0, 1):
        inside = key == group
        assert int(gone[inside].sum()) == round(fraction * int(inside.sum()))
        if gone[inside].any() and (~gone[inside]).any():
            values = np.array(scores)[inside]
            assert values[gone[inside]].min() >= values[~gone[inside]].max()


@settings(deadline=None, max_examples=80)
@given(data=st.data(), fraction=FRACTIONS, scores=SCORES)
def test_rows_that_were_not_scored_are_never_removed_and_may_be_nan(
    data: st.DataObject, fraction: float, scores: list[float]
) -> None:
    count = len(scores)
    valid = np.array(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    assume(round(fraction * count) <= valid.sum())
    values = np.where(valid, scores, np.nan)
    for cut in (
        Cut(values, drop="easiest", fraction=fraction, valid=valid),
        Cut(values, drop="hardest", fraction=fraction, valid=valid),
        *(Cut(values, valid=valid, **{name: 0.0}) for name in ("below", "at_most", "at_least", "above")),
    ):
        gone = apply_cut(cut, count, None, None, 0).removed
        assert not (gone & ~valid).any()
        if cut.fraction is not None:
            assert int(gone.sum()) == round(fraction * count)


def test_ties_are_broken_by_the_seed_reproducibly_and_without_preference() -> None:
    cut = Cut(np.zeros(20), drop="easiest", fraction=0.5)
    draws = [removed(cut, seed) for seed in range(400)]
    assert removed(cut, 3) == draws[3]
    assert len({tuple(draw) for draw in draws}) > 390
    counts = np.bincount(np.concatenate(draws), minlength=20)
    # each row is removed about half the time: binomial(400, 1/2), five standard deviations
    assert np.abs(counts - 200).max() < 50


def test_only_tied_rows_depend_on_the_seed() -> None:
    scores = [1.0, 5.0, 3.0, 3.0, 3.0, 9.0, 0.0, 3.0]
    draws = [set(removed(Cut(scores, drop="easiest", fraction=0.5), seed)) for seed in range(30)]
    assert set.intersection(*draws) == {1, 5}
    assert set.union(*draws) == {1, 5, 2, 3, 4, 7}


@pytest.mark.parametrize(
    ("drop", "expected"),
    [
        ("easiest", [2, 3, 5, 7]),  # of the rows at 0, first 2 and 3, which are the easiest by the second score
        ("hardest", [0, 1, 4, 6]),  # row 4 before row 7: hardest by the second score
    ],
)
def test_a_second_score_decides_among_ties(drop: Any, expected: list[int]) -> None:
    difficulty = [1.0, 1.0, 0.0, 0.0, 0.5, 0.0, 1.0, 0.5]
    loss = [0.1, 0.2, 0.1, 0.2, 0.9, 0.3, 0.4, 0.3]
    cut = Cut(difficulty, drop=drop, fraction=0.5, higher_is="harder", tie_hardness=loss)
    assert [removed(cut, seed) for seed in range(5)] == [expected] * 5


@settings(deadline=None, max_examples=100)
@given(data=st.data(), fraction=FRACTIONS, scores=SCORES, drop=st.sampled_from(["easiest", "hardest"]))
def test_rows_go_in_the_order_of_both_scores(
    data: st.DataObject, fraction: float, scores: list[float], drop: Any
) -> None:
    count = len(scores)
    second = data.draw(st.lists(st.integers(0, 3).map(float), min_size=count, max_size=count))
    gone = apply_cut(
        Cut(scores, drop=drop, fraction=fraction, higher_is="harder", tie_hardness=second), count, None, None, 0
    ).removed
    pairs = list(zip(scores, second, strict=True))
    taken = sorted(pair for pair, is_gone in zip(pairs, gone, strict=True) if is_gone)
    ranked = sorted(pairs, reverse=drop == "hardest")
    assert taken == sorted(ranked[: round(fraction * count)])


def test_rows_without_a_second_score_go_last_among_ties_and_equal_ones_are_drawn() -> None:
    second = [np.nan, 0.5, 0.5, np.nan, 0.1, 0.5]
    for drop in ("easiest", "hardest"):
        draws = [
            set(removed(Cut(np.zeros(6), drop=drop, fraction=1 / 3, tie_hardness=second), seed))  # type: ignore[arg-type]
            for seed in range(40)
        ]
        always = {4} if drop == "easiest" else set()
        assert set.intersection(*draws) == always
        assert set.union(*draws) == {1, 2, 5} | always


def test_random_cut_removes_its_count_anew_for_each_seed() -> None:
    cut = Cut(None, fraction=0.35)
    draws = {tuple(removed(cut, seed)) for seed in range(30)}
    assert {len(draw) for draw in draws} == {round(3.5)}
    assert len(draws) > 20
    assert removed(cut, 5) == removed(cut, 5)


def test_random_cut_can_go_class_by_class() -> None:
    labels = [0] * 6 + [1] * 4
    gone = removed(Cut(None, fraction=0.5, scope="per_class"), 1, labels=labels)
    assert np.bincount(np.array(labels)[gone]).tolist() == [3, 2]


def test_infinite_scores_rank_at_the_ends() -> None:
    scores = [0.0, np.inf, -np.inf, 1.0]
    assert removed(Cut(scores, drop="easiest", fraction=0.25)) == [1]
    assert removed(Cut(scores, drop="hardest", fraction=0.25)) == [2]


@pytest.mark.parametrize("cut", [{"drop": "easiest", "fraction": 0.4}, {"at_least": 5.0}])
def test_removed_rows_whose_score_is_a_bound_are_warned_of(cut: dict[str, Any]) -> None:
    converged = np.ones(10, bool)
    converged[[5, 7, 0]] = False
    outcome = apply_cut(Cut(TEN, converged=converged, label="margin easiest 0.4", **cut), 10, None, None, 0)
    assert outcome.warning.startswith("2 rows removed by 'margin easiest 0.4' did not converge")


@pytest.mark.parametrize("converged", [None, TEN > 0, TEN != 1])
def test_nothing_is_warned_of_where_the_removed_rows_converged(converged: Any) -> None:
    assert apply_cut(Cut(TEN, drop="easiest", fraction=0.4, converged=converged), 10, None, None, 0).warning == ""


def test_first_cut_that_removes_a_row_is_its_reason() -> None:
    masks = [[1, 0, 1, 0], [1, 1, 0, 0]]
    outcomes = [CutOutcome(np.array(mask, bool), np.nan) for mask in masks]
    assert combine(outcomes, 4).tolist() == [0, 1, 0, -1]
    assert combine([], 2).tolist() == [-1, -1]


@pytest.mark.parametrize("threshold", ["below", "at_most", "at_least", "above"])
@pytest.mark.parametrize("higher_is", ["easier", "harder"])
def test_dropped_side_is_the_one_whose_extreme_row_goes(threshold: str, higher_is: Any) -> None:
    side = dropped_side(threshold, higher_is)
    by_fraction = removed(Cut([1.0, 2.0], drop=side, fraction=0.5, higher_is=higher_is))
    assert removed(Cut([1.0, 2.0], higher_is=higher_is, **{threshold: 1.5})) == by_fraction


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (Cut(TEN), "exactly one of fraction.* got none"),
        (Cut(TEN, fraction=0.1, below=1.0), "exactly one of fraction.* got fraction, below"),
        (Cut(TEN, drop="easiest", fraction=1.0), r"fraction in \[0, 1\), got 1.0"),
        (Cut(TEN, drop="easiest", fraction=-0.1), r"fraction in \[0, 1\)"),
        (Cut(TEN, drop="easiest", fraction=float("nan")), r"NaN|\[0, 1\)"),
        (Cut(TEN, below=float("nan")), "number as below, got NaN"),
        (Cut(TEN, fraction=0.1), "drop 'easiest', 'hardest' or 'extremes', got None"),
        (Cut(None, below=1.0), "fraction for a random cut, got below"),
        (Cut(TEN, below=1.0, drop="easiest"), "drop: hardest with below"),
        (Cut(TEN, below=1.0, scope="per class"), "scope 'union', 'per_source' or 'per_class', got 'per class'"),  # type: ignore[arg-type]
        (Cut(TEN, below=1.0, higher_is="better"), "higher_is 'easier' or 'harder'"),  # type: ignore[arg-type]
        (Cut(TEN, drop="easiest", fraction=0.1, scope="per_class"), "labels for scope per_class"),
        (Cut(TEN, drop="easiest", fraction=0.1, scope="per_source"), "source for scope per_source"),
    ],
)
def test_impossible_cuts_are_refused(cut: Cut, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        apply_cut(cut, 10, None, None, 0)


def with_nan() -> NDArray[np.float64]:
    scores = TEN.copy()
    scores[2] = np.nan
    return scores


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (Cut(TEN[:9], below=1.0), r"10 entries, one per row, got \(9,\) in score"),
        (Cut(TEN, below=1.0, valid=[True]), r"10 entries, one per row, got \(1,\) in valid"),
        (Cut(TEN, below=1.0, converged=[True]), r"10 entries, one per row, got \(1,\) in converged"),
        (Cut(TEN, drop="easiest", fraction=0.1, tie_hardness=[1.0]), r"got \(1,\) in tie_hardness"),
        (Cut(with_nan(), below=1.0), "without NaN, got 1"),
        (Cut(with_nan(), drop="easiest", fraction=0.1), "without NaN, got 1"),
        (Cut(TEN, drop="easiest", fraction=0.5, valid=TEN > 4), "at least 5 scored rows .* got 4; lower its fraction"),
    ],
)
def test_scores_that_cannot_be_cut_are_refused(cut: Cut, message: str) -> None:
    with pytest.raises(DataError, match=message):
        apply_cut(cut, 10, None, None, 0)
