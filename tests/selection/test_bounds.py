"""Cuts and epsilons of margins that stop at a distance, by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.pool import PoolRows
from pumalib.errors import DataError
from pumalib.scores.table import ScoreTable
from pumalib.selection.bounds import undecided
from pumalib.selection.cuts import Cut, apply_cut
from pumalib.selection.inside import rows_inside
from pumalib.selection.policies.question import EpsilonQuestion
from pumalib.selection.pruning import prune
from pumalib.selection.settings import CutSettings, EpsilonSettings, WhereSettings
from pumalib.selection.stage import epsilons_before_cuts

UP_TO = 0.1
WHOLE = np.array([0.5, 0.02, 0.12, -0.3, 0.08, -0.05, 0.3, 0.09], np.float32)
"""Margins; by 0.1 three of them are bounds on the easy side and one on the hard side."""
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])


def stopped(whole: NDArray[np.float32] = WHOLE, up_to: float = UP_TO) -> ScoreTable:
    is_far = np.abs(whole) >= np.float32(up_to)
    score = np.where(is_far, np.copysign(np.float32(up_to), whole), whole)
    return table_of(score, {"converged": ~is_far, "bounded": is_far})


def table_of(score: NDArray[np.float32], columns: dict[str, NDArray[Any]]) -> ScoreTable:
    return ScoreTable(score, np.ones(len(score), bool), "easier", "", "deepfool", "p", "m", "linf", columns=columns)


def removed(**cut: Any) -> list[int]:
    table = stopped()
    made = Cut(table.score, bounded=table.bounded, converged=table.converged, label="a cut", **cut)
    outcome = apply_cut(made, len(WHOLE), LABELS, None, 0)
    assert outcome.warning == ""
    whole = apply_cut(Cut(WHOLE, **cut), len(WHOLE), LABELS, None, 0)
    assert outcome.removed.tolist() == whole.removed.tolist()
    return np.flatnonzero(outcome.removed).tolist()


@pytest.mark.parametrize(
    ("cut", "expected"),
    [
        ({"drop": "easiest", "fraction": 3 / 8}, [0, 2, 6]),  # all bounded rows of that side, and no other
        ({"drop": "easiest", "fraction": 4 / 8}, [0, 2, 6, 7]),  # then the order is known: 0.09
        ({"drop": "easiest", "fraction": 0.0}, []),
        ({"drop": "hardest", "fraction": 1 / 8}, [3]),
        ({"drop": "hardest", "fraction": 5 / 8}, [1, 3, 4, 5, 7]),  # all that are measured
        ({"drop": "easiest", "fraction": 2 / 4, "scope": "per_class"}, [0, 2, 6, 7]),
        ({"at_least": UP_TO}, [0, 2, 6]),
        ({"below": UP_TO}, [1, 3, 4, 5, 7]),
        ({"at_most": -UP_TO}, [3]),
        ({"above": 0.085}, [0, 2, 6, 7]),
        ({"below": 0.0}, [3, 5]),
    ],
)
def test_a_cut_that_bounds_decide_takes_the_rows_of_the_whole_margins(cut: dict[str, Any], expected: list[int]) -> None:
    assert removed(**cut) == expected


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ({"drop": "easiest", "fraction": 2 / 8},
         "expected cut 'a cut' to take all or none of the 3 rows whose score is the same bound, got 2 to take, and no "
         "order among them; raise up_to of the score, or leave it out"),
        ({"drop": "hardest", "fraction": 6 / 8}, "none of the 3 rows whose score is the same bound, got 1 to take"),
        ({"drop": "easiest", "fraction": 1 / 4, "scope": "per_class"}, "all or none of the 2 rows"),
        ({"at_least": 0.2}, "expected every row on one side of cut 'a cut', got 3 whose score is a bound short of it"),
        ({"above": UP_TO}, "got 3 whose score is a bound short of it; raise up_to of the score, or leave it out"),
        ({"below": -0.2}, "got 1 whose score is a bound short of it"),
        ({"below": -UP_TO}, "got 1 whose score is a bound short of it"),
    ],
)  # fmt: skip
def test_a_cut_that_would_need_more_is_refused(cut: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message.replace("(", r"\(")):
        removed(**cut)


def test_ties_of_another_score_may_be_broken_by_bounds_where_these_have_an_order() -> None:
    """By hand: five rows tie at 1; the hardest of them are -0.1 (a bound), -0.05 and 0.02, then 0.08."""
    difficulty, table = np.array([1, 1, 0, 1, 1, 1, 0, 0.5]), stopped()

    def of(count: int) -> list[int]:
        cut = Cut(difficulty, drop="hardest", fraction=count / 8, higher_is="harder", tie_hardness=-table.score,
                  tie_bounded=table.bounded)  # fmt: skip
        return np.flatnonzero(apply_cut(cut, 8, None, None, 0).removed).tolist()

    assert of(3) == [1, 3, 5]
    assert of(4) == [1, 3, 4, 5]
    assert of(6) == [0, 1, 3, 4, 5, 7]


@given(
    scores=st.lists(st.tuples(st.floats(-1, 1, width=32), st.booleans()), min_size=1, max_size=8),
    threshold=st.sampled_from(["below", "at_most", "at_least", "above"]),
    value=st.floats(-1.5, 1.5),
)
def test_a_row_is_undecided_where_some_number_beyond_its_bound_is_on_the_other_side(
    scores: list[tuple[float, bool]], threshold: str, value: float
) -> None:
    compare = {"below": np.less, "at_most": np.less_equal, "at_least": np.greater_equal, "above": np.greater}[threshold]
    score, bounded = (np.array(column) for column in zip(*scores, strict=True))
    tried = [compare(score + np.copysign(step, score), value) for step in (0.0, 1e-9, 0.1, 1.0, 10.0)]
    expected = bounded & np.array([one != tried[0] for one in tried]).any(0)
    assert (undecided(score, bounded, threshold, value) >= expected).all()
    assert not undecided(score, np.zeros_like(bounded), threshold, value).any()


def epsilons(table: ScoreTable, **settings: Any) -> NDArray[np.float32]:
    adapter: TypeAdapter[EpsilonSettings] = TypeAdapter(EpsilonSettings)
    policy = adapter.validate_python({"policy": "margin", "score": "margin", **settings})
    question = EpsilonQuestion(np.ones(len(table.score), bool), {"margin": table}, ThreatSettings(epsilon=UP_TO))
    return epsilons_before_cuts(policy, question)


@pytest.mark.parametrize("policy", ["margin", "mean_of_margin", "shuffled_margin"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"cap": 0.05}, {"gap": 0.03, "cap": 0.07}, {"negative": "zero"}, {"gap": 0.01, "cap": 0.09}],
)
def test_epsilons_up_to_the_bound_are_those_of_the_whole_margins(policy: str, settings: dict[str, Any]) -> None:
    cap, gap = settings.get("cap", UP_TO), settings.get("gap", 0.0)
    expected = np.clip(WHOLE.astype(np.float64) - gap, -cap, cap).astype(np.float32)
    expected = np.maximum(expected, 0) if settings.get("negative") == "zero" else expected
    np.testing.assert_array_equal(epsilons(stopped(), policy=policy, **settings), expected)


@pytest.mark.parametrize("settings", [{"cap": 0.12}, {"gap": 0.01}])
def test_epsilons_beyond_the_bound_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="as epsilon asks for, got 4 that are bounds below that in score margin; raise"):
        epsilons(stopped(), **settings)


def test_rows_inside_are_those_of_the_whole_margins_or_the_bound_is_refused() -> None:
    tables = {"margin": stopped()}
    inside = rows_inside(WhereSettings(score="margin", at_least=UP_TO), tables)
    assert np.flatnonzero(inside).tolist() == [0, 2, 6]
    with pytest.raises(DataError, match=r"expected every row above 0.3 or not by score margin, got 3 whose score"):
        rows_inside(WhereSettings(score="margin", above=0.3), tables)


def test_a_run_that_prunes_the_easiest_and_drops_negative_epsilons_reads_bounds_from_its_table() -> None:
    policy: Any = TypeAdapter(EpsilonSettings).validate_python(
        {"policy": "margin", "score": "margin", "negative": "drop"}
    )
    rows = PoolRows(LABELS, np.zeros(8, np.uint8), ("a", "b"), "p")
    question = EpsilonQuestion(np.ones(8, bool), {"margin": stopped()}, ThreatSettings(epsilon=UP_TO))
    cut = CutSettings(by="margin", drop="easiest", fraction=3 / 8)
    selection, _ = prune([cut], policy, question, rows, 0)
    assert selection.rows.tolist() == [1, 4, 7]
    assert [outcome.warning for outcome in selection.outcomes] == ["", ""]
    with pytest.raises(DataError, match=r"cut .margin easiest 12.5 %. to take all or none of the 3 rows"):
        prune([CutSettings(by="margin", drop="easiest", fraction=1 / 8)], policy, question, rows, 0)
