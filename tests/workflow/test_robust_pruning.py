"""The leaderboard study in miniature: every method once, through the whole workflow."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pumalib.reporting.kinds.leaderboard_json import Leaderboard
from pumalib.study.file import read_study_file

STUDIES = Path(__file__).parents[2] / "studies"
DIGITS, FASHION = STUDIES / "robust-pruning-digits.yaml", STUDIES / "robust-pruning.yaml"
KEPT = 40
METHODS = ("random", "redraw", "puma", "mean", "cut", "easycore", "pd", "pe", "ccs", "moderate", "k-center")


def miniature():
    """Return the study of digits under TRADES alone, one seed, and 40 and 100 % kept, made tiny."""
    raw = read_study_file(DIGITS)
    raw["seeds"] = [0]
    raw["datasets"]["digits"] |= {"train_count": 400, "test_count": 100}
    raw["defaults"]["training"] |= {"epochs": 10, "samples_per_epoch": 640, "history_every": 10}
    raw["runs"] = {name: run for name, run in raw["runs"].items() if is_kept(name)}
    raw["scores"] = {name: each for name, each in raw["scores"].items() if not name.endswith("-natural")}
    raw["attacks"] = {"cw": {"method": "cw_pgd", "steps": 3}}
    del raw["gate"], raw["primary"]
    board = raw["reports"]["leaderboard"]
    board["methods"] = {
        method: [each for each in kept if each in (KEPT, 100)] for method, kept in board["methods"].items()
    }
    del board["panels"]["digits-natural"]
    return raw


def is_kept(name):
    return name in {"trades", "natural"} or (name.startswith("trades-") and name.endswith((f"-keep{KEPT}", "-keep100")))


@pytest.fixture(scope="module")
def checkout(make_checkout):
    made = make_checkout()
    (made.folder / "miniature.yaml").write_text(yaml.safe_dump(miniature(), sort_keys=False))
    return made


@pytest.mark.slow
def test_one_command_makes_the_leaderboard_of_every_method(checkout):
    result = checkout.run(study="miniature.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    reports = checkout.folder / "results/robust-pruning-digits/reports"
    table = pd.read_csv(reports / "leaderboard.csv")
    assert set(table[table["kept"] == KEPT]["method"]) == set(METHODS)
    assert set(table[table["kept"] == 100]["method"]) == {"random", "puma", "mean", "infobatch"}
    assert (table["rank"] == 1).all()  # one seed tells nothing
    passes = table[table["kept"] == KEPT].set_index("method")["passes"]
    training = table[table["kept"] == KEPT].set_index("method")["training_passes"]
    assert training.nunique() == 1  # equally many draws for all
    assert passes["random"] == training["random"]
    assert (passes.drop(["random", "redraw"]) > training["random"]).all()
    whole = table[table["kept"] == 100].set_index("method")["training_passes"]
    assert whole["infobatch"] < whole["random"]

    board = Leaderboard.model_validate_json((reports / "leaderboard.json").read_text())
    assert len(board.standings) == len(table)
    assert "reports/leaderboard.json" in (checkout.folder / "results/robust-pruning-digits/README.md").read_text()
    path = json.loads((reports / "leaderboard.json").read_text())["standings"][0]["command"].split(" -- ")[1]
    assert (checkout.folder / path).is_file()
    assert checkout.planned("miniature.yaml") == set()


@pytest.mark.slow
def test_the_whole_study_is_planned_without_its_data(checkout):
    (checkout.folder / "whole.yaml").write_text(FASHION.read_text(encoding="utf-8"), encoding="utf-8")
    planned = checkout.planned("whole.yaml")
    assert {"report leaderboard", "report natural-alone", "report gate", "report primary"} <= planned
    assert {"train trades-puma-keep80", "train natural-infobatch-keep100"} <= planned


def test_digits_and_fashion_have_the_same_runs_but_for_three_that_fashion_does_not_allow():
    digits, fashion = (read_study_file(path) for path in (DIGITS, FASHION))
    assert digits["scores"] == fashion["scores"]
    gates = {"trades-0.075", "trades-0.05", "trades-0.035", "trades-0.02"}
    runs = [{name: run for name, run in raw["runs"].items() if name not in gates} for raw in (digits, fashion)]
    assert (len(runs[0]), len(runs[1])) == (106, 104)
    no_mean = {"trades-mean-keep10", "trades-mean-keep20"}  # most margins are negative, and so is their mean
    no_class_lost = {"trades-ccs-keep10", "natural-ccs-keep10"}  # the published cutoff leaves no row of a class
    assert runs[0].keys() - runs[1].keys() == no_mean
    assert {name for name, run in runs[1].items() if run != runs[0][name]} == no_class_lost
