"""Leaderboards that cannot be made are refused before any job."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from pumalib.errors import ConfigError
from pumalib.reporting.settings.leaderboard import Entry, LeaderboardSettings
from pumalib.study.study import Study

PANEL = {"runs": "{method}-keep{kept}", "metric": "robust_accuracy"}
BOARD: dict[str, Any] = {
    "kind": "leaderboard",
    "attack": "cw",
    "methods": {"random": [80], "cut": [80]},
    "panels": {"trades": PANEL},
}


def test_random_rows_come_first_and_the_run_on_all_rows_stands_for_them_at_100(
    read: Callable[[dict[str, Any]], Study], study: dict[str, Any]
) -> None:
    study["runs"]["cut-keep100"] = {"epsilon": {"policy": "fixed", "epsilon": 0.1}}
    board = {**BOARD, "methods": {"cut": [80, 100], "random": [80]}, "panels": {"trades": {**PANEL, "whole": "trades"}}}
    settings = read(board).settings.reports["r"]
    assert isinstance(settings, LeaderboardSettings)
    assert settings.entries("trades") == [
        Entry("random", 80, "random-keep80"),
        Entry("random", 100, "trades"),
        Entry("cut", 80, "cut-keep80"),
        Entry("cut", 100, "cut-keep100"),
    ]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "methods",
            {"rondom": [80], "cut": [80]},
            'expected the method "random" under methods; did you mean "rondom"?',
        ),
        ("random", "drawn", 'expected the method "drawn" under methods'),
        (
            "methods|cut",
            [60, 80],
            '"random" at each share of "cut", got none at 60 % in panels.trades; add 60 to methods.random',
        ),
        ("methods|cut", [100], "got none at 100 % in panels.trades; add whole: a run on all rows"),
        ("methods|cut", [80, 80], "expected each share once, got 80, 80"),
        ("methods|cut", [0], "greater than or equal to 1"),
        ("methods", {"random": [80]}, "expected at least 2 under methods"),
        (
            "methods|cutt",
            [80],
            'expected the name of a run, got "cutt-keep80"; did you mean "cut-keep80"? at reports.r.panels.trades.runs',
        ),
        ("panels|trades|methods", ["random", "cutt"], 'got "cutt"; did you mean "cut"? in panels.trades.methods'),
        ("panels|trades|methods", ["cut"], 'expected "random" and another method in panels.trades.methods'),
        ("panels|trades|whole", "trads", 'got "trads"; did you mean "trades"? at reports.r.panels.trades.whole'),
        ("panels|trades|runs", "{method}", "expected names with {method} and {kept}"),
        ("panels|trades|runs", "{method}-{kept}-{seed}", "expected names with {method} and {kept}"),
        ("panels|trades|runs", "{method}-{kept", "expected names with {method} and {kept}"),
        ("attack", "cv", 'did you mean "cw"? at reports.r.attack'),
        ("panels", {}, "expected at least 1 under panels"),
    ],
)
def test_a_leaderboard_that_cannot_be_made_is_refused(
    path: str, value: Any, message: str, read: Callable[[dict[str, Any]], Study], put: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(ConfigError) as error:
        read(put(copy.deepcopy(BOARD), path, value))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ({"pool": "fashion", "prune": [{"by": "random", "fraction": 0.2}]}, "other-keep80 (trades on fashion)"),
        ({"training": {"method": "natural"}}, "other-keep80 (natural on digits)"),
    ],
)
def test_one_panel_is_of_one_dataset_and_one_way_to_train(
    run: dict[str, Any], told: str, read: Callable[[dict[str, Any]], Study], study: dict[str, Any]
) -> None:
    study["runs"]["other-keep80"] = run
    with pytest.raises(ConfigError, match="expected one dataset and one way to train, got random-keep80") as error:
        read({**BOARD, "methods": {"random": [80], "other": [80]}})
    assert told in str(error.value)
    assert str(error.value).count("at reports.r.panels.trades; make a panel for each") == 1


def test_a_model_trained_elsewhere_is_refused(
    read: Callable[[dict[str, Any]], Study], study: dict[str, Any], tmp_path: Any
) -> None:
    (tmp_path / "their.safetensors").touch()
    study["runs"]["their-keep80"] = {"checkpoint": "their.safetensors", "architecture": "mlp", "pool": "real"}
    with pytest.raises(ConfigError, match="expected a run that this study trains, got their-keep80"):
        read({**BOARD, "methods": {"random": [80], "their": [80]}})


CUT = {"by": "margin", "drop": "easiest"}


@pytest.mark.parametrize(
    ("prune", "epsilon", "kept"),
    [
        ([], {}, "100 %"),
        ([{**CUT, "fraction": 0.3}], {}, "70 %"),
        ([{**CUT, "fraction": 0.05}, {"by": "random", "fraction": 0.1}], {}, "85 to 90 %"),
        ([{**CUT, "fraction": 0.3}, {"by": "margin", "above": 0.1}], {}, "0 to 70 %"),
        ([{**CUT, "fraction": 0.1}], {"policy": "margin", "score": "margin"}, "90 %"),
    ],
)
def test_a_share_that_a_run_cannot_keep_is_refused(
    prune: list[dict[str, Any]],
    epsilon: dict[str, Any],
    kept: str,
    read: Callable[[dict[str, Any]], Study],
    study: dict[str, Any],
) -> None:
    study["runs"]["cut-keep80"] = {"prune": prune, **({"epsilon": epsilon} if epsilon else {})}
    with pytest.raises(ConfigError) as error:
        read(BOARD)
    expected = f"expected the share of rows that run cut-keep80 keeps, {kept}, got 80 % at reports.r.methods.cut"
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("prune", "epsilon"),
    [
        ([{"by": "random", "fraction": 0.21}], {}),
        ([{**CUT, "fraction": 0.1}, {"by": "random", "fraction": 0.15}], {}),
        ([{"by": "margin", "above": 0.1}], {}),
        ([{**CUT, "fraction": 0.1}], {"policy": "margin", "score": "margin", "negative": "drop"}),
    ],
)
def test_a_share_that_a_run_may_keep_is_left_to_its_selection(
    prune: list[dict[str, Any]], epsilon: dict[str, Any], read: Callable[[dict[str, Any]], Study], study: dict[str, Any]
) -> None:
    study["runs"]["cut-keep80"] = {"prune": prune, **({"epsilon": epsilon} if epsilon else {})}
    read(BOARD)
