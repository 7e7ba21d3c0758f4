"""What differs between two studies, defaults filled in."""

from copy import deepcopy
from typing import Any

from pumalib.across.settings_changes import Change, changed_settings
from pumalib.study.slices import settings_used
from pumalib.study.study import parse_study


def told(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    return [f"{each.key}: {each.first} -> {each.second}" for each in changed_settings(first, second)]


def test_equal_settings_have_no_change_whatever_the_study_is_called() -> None:
    assert changed_settings({"study": "a", "seeds": [0]}, {"study": "b", "seeds": [0]}) == []


def test_only_keys_that_differ_are_told_and_a_missing_one_is_none() -> None:
    first = {"seeds": [0], "threat": {"norm": "linf", "epsilon": 0.1}, "gate": {"run": "a"}}
    second = {"seeds": [0], "threat": {"norm": "linf", "epsilon": 0.2}}
    assert told(first, second) == ["threat.epsilon: 0.1 -> 0.2", "gate: {'run': 'a'} -> None"]


def test_a_change_that_all_runs_share_stands_once() -> None:
    first = {"runs": {"a": {"epochs": 5, "beta": 1}, "b": {"epochs": 5, "beta": 1}}}
    second = {"runs": {"a": {"epochs": 9, "beta": 1}, "b": {"epochs": 9, "beta": 2}}}
    assert told(first, second) == ["runs.*.epochs: 5 -> 9", "runs.b.beta: 1 -> 2"]


def test_runs_of_one_side_are_told_whole() -> None:
    first, second = {"runs": {"a": {}, "old": {"epochs": 1}}}, {"runs": {"a": {}, "new": {"epochs": 2}}}
    assert changed_settings(first, second) == [
        Change("runs.old", {"epochs": 1}, None, is_whole=True),
        Change("runs.new", None, {"epochs": 2}, is_whole=True),
    ]


def test_steps_of_pruning_are_compared_one_by_one_where_there_are_as_many() -> None:
    first = {"runs": {"a": {"prune": [{"by": "margin", "fraction": 0.1}, {"by": "random", "fraction": 0.1}]}}}
    second = deepcopy(first)
    second["runs"]["a"]["prune"][1]["fraction"] = 0.3
    assert told(first, second) == ["runs.a.prune[1].fraction: 0.1 -> 0.3"]
    second["runs"]["a"]["prune"].pop()
    assert [each.key for each in changed_settings(first, second)] == ["runs.a.prune"]


def test_defaults_are_filled_in_before_studies_are_compared(study: dict[str, Any]) -> None:
    other = deepcopy(study)
    other["defaults"]["training"]["beta"] = 6.0
    other["attacks"] = {name: {**attack, "restarts": 1} for name, attack in other["attacks"].items()}  # as by default
    first, second = (settings_used(parse_study(raw)) for raw in (study, other))
    assert told(first, second) == ["runs.*.training.beta: 5.0 -> 6.0"]
