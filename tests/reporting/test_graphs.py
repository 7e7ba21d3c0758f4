"""Graphs that are drawn: circles opened, arrows that follow left out, floors, and the same bytes each time."""

from itertools import pairwise
from pathlib import Path

from pumalib.reporting.graphs import draw, floors, places, reduced, without_returns

CIRCLE = {"pool": {"selection", "score"}, "selection": {"model"}, "model": {"score"}, "score": {"selection"}}


def test_arrow_back_in_the_order_opens_a_circle() -> None:
    forward, returns = without_returns(CIRCLE, ("pool", "selection", "model", "score"))
    assert returns == [("score", "selection")]
    assert forward == {**CIRCLE, "score": set()}
    assert floors(forward) == {"score": 0, "model": 1, "selection": 2, "pool": 3}


def test_arrow_back_in_the_order_that_closes_no_circle_stays() -> None:
    assert without_returns({"b": {"a"}, "a": set()}, ("a", "b")) == ({"b": {"a"}, "a": set()}, [])


def test_rule_of_another_name_goes_by_the_name_that_it_begins_with() -> None:
    circle = {"model_keeping": {"score"}, "score": {"model_keeping"}}
    assert without_returns(circle, ("model", "score"))[1] == [("score", "model_keeping")]


def test_every_circle_is_opened_whatever_the_order() -> None:
    forward, _ = without_returns({"a": {"b"}, "b": {"c"}, "c": {"a"}}, ())
    assert set(floors(forward)) == {"a", "b", "c"}


def test_arrow_that_follows_from_others_is_left_out() -> None:
    assert reduced({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == {"a": {"b"}, "b": {"c"}, "c": set()}


def test_boxes_of_a_floor_do_not_overlap() -> None:
    place = places({"a": {"b", "c", "d"}, "b": set(), "c": set(), "d": set()})
    across = sorted(place[name][0] for name in "bcd")
    assert all(right - left >= 1.9 for left, right in pairwise(across))


def test_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    forward, returns = without_returns(CIRCLE, ("pool", "selection", "model", "score"))
    (tmp_path / "again").mkdir()
    paths = [draw(forward, tmp_path / name, returns) for name in ("a.svg", "again/a.svg")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert b">selection<" in paths[0].read_bytes()
