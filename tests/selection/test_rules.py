"""Pruning rules: what they get, what they may return, coverage-centric selection by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pumalib.errors import ConfigError, DataError
from pumalib.selection.cuts import Cut
from pumalib.selection.own_rule import load_rule
from pumalib.selection.rule import Rule, RuleRows
from pumalib.selection.rules.ccs import budgets_of, keep
from pumalib.selection.select import select
from pumalib.selection.settings import OwnRuleSettings


def first_rows(rows: RuleRows, skip: int = 0) -> NDArray[np.int64]:
    return np.arange(skip, skip + rows.count)


def test_a_rule_says_what_is_kept_and_joins_other_cuts() -> None:
    cut = Cut(np.arange(10.0), drop="easiest", fraction=0.1, label="top")  # takes row 9
    selection = select(10, [cut, Rule(first_rows, 0.4, options={"skip": 2})], 0.1)
    assert selection.rows.tolist() == [2, 3, 4, 5, 6, 7]
    assert selection.reason.tolist() == [1, 1, -1, -1, -1, -1, -1, -1, 1, 0]


def test_a_rule_sees_scores_as_they_stand_and_turned_so_that_higher_is_harder() -> None:
    seen: list[RuleRows] = []

    def look(rows: RuleRows) -> NDArray[np.int64]:
        seen.append(rows)
        return np.arange(rows.count)

    margins = np.array([0.1, np.nan, -0.2], np.float32)
    rule = Rule(look, 1 / 3, scores={"margin": margins}, hardness={"margin": -margins.astype(np.float64)})
    select(3, [rule], labels=[0, 0, 0], source=[0, 1, 1])
    (rows,) = seen
    assert (rows.count, rows.num_rows) == (2, 3)
    np.testing.assert_array_equal(rows.scores["margin"], margins)
    assert rows.source is not None
    assert rows.source.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([0, 1], r"expected 3 rows to keep, as integers \[3\], from mine, got int64 \[2\]"),
        ([True, False, True], "got bool"),
        ([0.0, 1.0, 2.0], "got float64"),
        ([0, 1, 5], r"expected rows in \[0, 5\) from mine, got 0..5"),
        ([-1, 1, 2], r"got -1..2"),
        ([0, 1, 1], "expected each row once from mine, got 1 of 3 again"),
    ],
)
def test_rules_that_return_other_rows_are_refused(answer: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        select(5, [Rule(lambda rows: answer, 0.4, label="mine")])


def test_ccs_by_hand() -> None:
    """Hardness 0 to 9 and, far off, 100 (noise): it goes first; two strata [0, 4.5] and (4.5, 9] share five places."""
    hardness = np.array([*range(10), 100.0])
    rows = select(11, [Rule(keep, 6 / 11, hardness={"x": hardness}, options={"hardest": 1 / 11, "strata": 2})]).rows
    assert len(rows) == 5
    assert 10 not in rows
    assert sorted([(rows < 5).sum(), (rows >= 5).sum()]) == [2, 3]


def test_ccs_takes_a_small_stratum_whole_and_draws_by_the_seed() -> None:
    hardness = np.concatenate([np.zeros(90), np.ones(10)])
    rules = [Rule(keep, 0.5, hardness={"x": hardness}, options={"strata": 10})]
    drawn = [select(100, rules, seed=seed).rows for seed in (0, 0, 1)]
    assert all((rows >= 90).sum() == 10 for rows in drawn)
    assert drawn[0].tolist() == drawn[1].tolist() != drawn[2].tolist()


def test_ccs_of_equal_scores_is_a_random_draw() -> None:
    assert len(select(10, [Rule(keep, 0.5, hardness={"x": np.ones(10)})]).rows) == 5


def test_ccs_needs_a_score_of_every_row() -> None:
    with pytest.raises(DataError, match="expected a score of every row for rule ccs, got none for 1 of 3"):
        select(3, [Rule(keep, 0.5, hardness={"x": np.array([0, np.nan, 1])})])


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.data())
def test_budgets_add_up_and_are_as_even_as_the_strata_allow(sizes: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, sum(sizes)))
    budgets = budgets_of(np.array(sizes), count)
    assert budgets.sum() == count
    assert (budgets <= sizes).all()
    cut_short = budgets < sizes  # no stratum that could give more gives less, by more than a row, than any other
    assert not cut_short.any() or budgets[cut_short].min() >= budgets.max() - 1


def test_extremes_take_half_from_each_end_and_the_odd_row_from_the_hard_one() -> None:
    """As the rounding of the authors of Moderate has it: `round(n * low)` from below, the rest from above."""
    cut = Cut(np.array([5.0, 1, 4, 2, 3]), drop="extremes", fraction=0.6, higher_is="harder")
    assert select(5, [cut]).rows.tolist() == [3, 4]  # 1 goes from the easy end, 5 and 4 from the hard one
    per_class = Cut([1.0, 2, 3, 10, 20, 30], drop="extremes", fraction=2 / 3, scope="per_class")
    assert select(6, [per_class], labels=[0, 0, 0, 1, 1, 1]).rows.tolist() == [1, 4]


def test_extremes_need_a_fraction() -> None:
    with pytest.raises(ValueError, match="expected a fraction with drop 'extremes', got below"):
        select(2, [Cut([1.0, 2.0], drop="extremes", below=1.5)])


def settings_of(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: Any) -> OwnRuleSettings:
    (folder / "my_rules.py").write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return OwnRuleSettings(rule="my_rules:choose", fraction=0.5, options=options)


def test_an_own_rule_is_found_and_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "def choose(rows, first=0):\n    return range(first, first + rows.count)\n"
    settings = settings_of(text, tmp_path, monkeypatch, first=3)
    assert select(6, [Rule(load_rule(settings), 0.5, options=settings.options)]).rows.tolist() == [3, 4, 5]


def test_an_own_rule_that_raises_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of("def choose(rows):\n    return rows.scores['aign']\n", tmp_path, monkeypatch)
    with pytest.raises(DataError, match=r"rows to keep from my_rules:choose, it raised KeyError: 'aign' .*line 2"):
        select(6, [Rule(load_rule(settings), 0.5)])


def test_an_own_rule_with_other_arguments_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of("def choose(rows):\n    return []\n", tmp_path, monkeypatch, first=3)
    with pytest.raises(ConfigError, match=r"expected my_rules:choose to be called with rows, first, got \(rows\)"):
        load_rule(settings)
