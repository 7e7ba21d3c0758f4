from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import ArtifactError, DataError
from pumalib.scores.table import ScoreTable
from pumalib.selection.inside import rows_inside
from pumalib.selection.policies.question import EpsilonQuestion
from pumalib.selection.settings import EpsilonSettings, WhereSettings
from pumalib.selection.stage import epsilons_before_cuts

THREAT = 8 / 255
COMPARISONS = {"below": np.less, "at_most": np.less_equal, "at_least": np.greater_equal, "above": np.greater}


def a_table(score: Any, valid: Any = None, norm: str = "linf") -> ScoreTable:
    numbers = np.asarray(score, np.float32)
    return ScoreTable(
        score=numbers,
        valid=np.ones(len(numbers), bool) if valid is None else np.asarray(valid, bool),
        higher_is="easier",
        unit="",
        method="deepfool",
        norm=norm,
        pool_fingerprint="p",
        model_fingerprint="m",
    )


def policy(settings: dict[str, Any]) -> EpsilonSettings:
    adapter: TypeAdapter[EpsilonSettings] = TypeAdapter(EpsilonSettings)
    return adapter.validate_python(settings)


def epsilons(settings: dict[str, Any], **tables: ScoreTable) -> NDArray[np.float32]:
    num_rows = len(next(iter(tables.values())).score)
    where = settings.get("where")
    inside = np.ones(num_rows, bool) if where is None else rows_inside(WhereSettings.model_validate(where), tables)
    return epsilons_before_cuts(policy(settings), EpsilonQuestion(inside, tables, ThreatSettings(epsilon=THREAT)))


def test_the_smallest_epsilon_goes_to_the_rows_that_are_never_right() -> None:
    """PUMA Table 7: 1/255 where the classification difficulty is 1, the threat's epsilon elsewhere."""
    difficulty = a_table([0.0, 1.0, 0.98, 1.0])
    settings = {"policy": "fixed", "epsilon": "1/255", "where": {"score": "cd", "at_least": 1.0}}
    np.testing.assert_allclose(epsilons(settings, cd=difficulty), np.array([8, 1, 8, 1]) / 255, rtol=1e-6)


def test_margins_hold_where_they_are_asked_for_and_otherwise_stands_elsewhere() -> None:
    """By hand: rows 1 and 3 are inside; clip(0.02 - 0.01) and clip(-0.5 - 0.01) at 0.03."""
    tables = {"cd": a_table([0.0, 1.0, 0.5, 1.0]), "margin": a_table([0.2, 0.02, 0.01, -0.5])}
    settings = {
        "policy": "margin", "score": "margin", "gap": 0.01, "cap": 0.03, "otherwise": 0.05,
        "where": {"score": "cd", "above": 0.5},
    }  # fmt: skip
    np.testing.assert_allclose(epsilons(settings, **tables), [0.05, 0.01, 0.05, -0.03], rtol=1e-6)
    np.testing.assert_allclose(epsilons({**settings, "negative": "zero"}, **tables), [0.05, 0.01, 0.05, 0], rtol=1e-6)


@given(
    rows=st.lists(st.tuples(st.floats(-1, 1, width=32), st.booleans(), st.floats(-1, 1, width=32)), min_size=1),
    threshold=st.sampled_from(sorted(COMPARISONS)),
    value=st.floats(-1, 1),
    otherwise=st.one_of(st.none(), st.floats(0, 1)),
    name=st.sampled_from(["fixed", "margin", "mean_of_margin", "shuffled_margin"]),
)
def test_rows_outside_are_at_otherwise_and_rows_inside_as_without_where(
    rows: list[tuple[float, bool, float]], threshold: str, value: float, otherwise: float | None, name: str
) -> None:
    score, valid, margin = (np.array(column) for column in zip(*rows, strict=True))
    tables = {"score": a_table(score, valid), "margin": a_table(margin)}
    settings: dict[str, Any] = {"policy": name, **({} if name == "fixed" else {"score": "margin"})}
    where = {"score": "score", threshold: value}
    found = epsilons({**settings, "where": where, "otherwise": otherwise}, **tables)
    inside = COMPARISONS[threshold](score.astype(np.float32), np.float32(value)) & valid
    assert set(found[~inside].tolist()) <= {float(np.float32(THREAT if otherwise is None else otherwise))}
    np.testing.assert_array_equal(found[inside], epsilons(settings, **tables)[inside])


def test_a_threshold_is_rounded_as_the_scores_are() -> None:
    """One fiftieth in float32 is equal to 0.02, though it is below it in float64."""
    table = {"cd": a_table([1 / 50])}
    assert rows_inside(WhereSettings(score="cd", at_least=0.02), table).tolist() == [True]
    assert rows_inside(WhereSettings(score="cd", below=0.02), table).tolist() == [False]


def test_rows_outside_need_no_margin_and_rows_inside_do() -> None:
    tables = {"cd": a_table([0.0, 1.0]), "margin": a_table([np.nan, 0.01], valid=[False, True])}
    settings = {"policy": "margin", "score": "margin", "where": {"score": "cd", "at_least": 1}}
    np.testing.assert_allclose(epsilons(settings, **tables), [THREAT, 0.01], rtol=1e-6)
    with pytest.raises(DataError, match="a margin for every row, score margin lacks 1"):
        epsilons({**settings, "where": {"score": "cd", "at_most": 1}}, **tables)


def test_the_norm_of_margins_is_checked_and_that_of_where_is_not() -> None:
    tables = {"cd": a_table([0.0, 1.0], norm=""), "margin": a_table([0.1, 0.01], norm="l2")}
    assert len(epsilons({"policy": "fixed", "where": {"score": "cd", "above": 0.5}}, **tables)) == 2
    with pytest.raises(ArtifactError, match="the threat's norm linf, got norm l2"):
        epsilons({"policy": "margin", "score": "margin", "where": {"score": "cd", "above": 0.5}}, **tables)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"where": {"score": "cd"}}, "exactly one of below, at_most, at_least, above, got none"),
        ({"where": {"score": "cd", "below": 0.1, "above": 0.2}}, "got below, above"),
        ({"otherwise": 0.1}, "expected otherwise only beside where"),
        ({"where": {"score": "cd", "below": 0.1}, "otherwise": -0.1}, "greater than or equal to 0"),
    ],
)
def test_a_where_that_cannot_be_meant_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        policy({"policy": "fixed", **changes})


@pytest.mark.parametrize("settings", ["margin", "mean_of_margin", "shuffled_margin"])
def test_extrapolated_margins_give_epsilons_where_their_error_is_small(settings: str) -> None:
    table = a_table([0.01, 0.02, -0.01])
    asked = {"policy": settings, "score": "margin"}
    near, far = (replace(table, held_back_agreement=0.95, held_back_error=error) for error in (0.25, 0.26))
    np.testing.assert_array_equal(epsilons(asked, margin=near), epsilons(asked, margin=table))
    with pytest.raises(
        DataError, match=r"held back is 26% of the mean margin \(at most 25%\).* larger share of the rows"
    ):
        epsilons(asked, margin=far)
