"""Parts of a study hold what their reports need and nothing else; overrides change what is there."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pumalib.errors import ConfigError
from pumalib.study.file import read_study_file
from pumalib.study.part import overridden, part_of
from pumalib.study.study import parse_study
from pumalib.study.user_files import is_sha256, places_of

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "studies/paper-cifar10.yaml"
OVERRIDES = sorted((ROOT / "studies/overrides").glob("*.yaml"))
ALWAYS = {"trades", "puma-20", "trades-eps-4", "trades-eps-6"}
"""Runs of the gate and of the primary contrast."""


def names(part: dict[str, Any]) -> dict[str, set[str]]:
    return {key: set(part.get(key, {})) for key in ("pools", "scores", "runs", "attacks", "reports")}


def test_part_for_tables_1_and_2_needs_one_set_of_generated_images() -> None:
    part = part_of(read_study_file(PAPER), ["table-1", "table-2"])
    table_2 = {"random-22", "pd-12", "pe-22", "pe-pd"}
    assert names(part) == {
        "pools": {"medium"},
        "scores": {"margin", "difficulty"},
        "runs": ALWAYS | {"control-20", "shuffled-20"} | table_2,
        "attacks": {"cw", "cw-validation"},
        "reports": {"table-1", "table-2"},
    }


@pytest.mark.parametrize(
    ("report", "pools", "scores", "runs", "attacks"),
    [
        # cuts by difficulty break ties by the mean loss; both are gathered by trades; its kept epochs are attacked
        ("figure-6", {"medium"}, {"margin", "difficulty", "mean-loss"}, {"random-20", "random-40", "random-60", "pe-20",
          "pe-40", "pe-60"}, {"cw-held-out"}),
        # a margin model behind a margin model
        ("table-9", {"real", "medium"}, {"margin", "margin-real", "margin-again", "margin-third", "margin-foreign",
          "margin-foreign-large"}, {"trades-real", "real-20", "again-20", "trades-third", "by-third-20",
          "by-foreign-20", "by-foreign-large-20"}, set()),
        # scores that a report names itself, and the run that one of them starts from
        ("margin-models", {"medium"}, {"margin", "difficulty", "margin-tuned", "margin-natural"}, {"natural", "tuned"},
          set()),
    ],
)  # fmt: skip
def test_part_follows_scores_margin_models_and_attacks(
    report: str, pools: set[str], scores: set[str], runs: set[str], attacks: set[str]
) -> None:
    part = part_of(read_study_file(PAPER), [report])
    assert names(part) == {
        "pools": pools,
        "scores": scores,
        "runs": ALWAYS | runs,
        "attacks": {"cw", "cw-validation"} | attacks,
        "reports": {report},
    }


def test_part_keeps_each_run_as_it_is() -> None:
    raw = read_study_file(PAPER)
    whole, part = parse_study(raw), parse_study(part_of(raw, ["table-1"]))
    assert all(part.runs[name] == whole.runs[name] for name in part.runs)


def test_attack_is_of_the_runs_that_are_left(study: dict[str, Any]) -> None:
    study["attacks"]["cw"]["runs"] = ["trades", "puma"]
    study["reports"] = {"one": {"kind": "comparison", "runs": ["trades", "pruned"], "baseline": "trades"}}
    assert part_of(study, ["one"])["attacks"]["cw"]["runs"] == ["trades"]


def test_report_that_is_not_there_is_refused_with_the_nearest(study: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as error:
        part_of(study, ["tables"], "mine.yaml")
    assert str(error.value) == (
        'expected the name of a report, got "tables"; did you mean "table"? at reports (mine.yaml)'
    )


def test_override_changes_what_it_names_and_nothing_else(study: dict[str, Any]) -> None:
    over = {"seeds": [7], "defaults": {"training": {"epochs": 1}}, "runs": {"puma": {"pool": "real"}}}
    changed = overridden(study, over, "over.yaml")
    assert changed["seeds"] == [7]
    assert changed["defaults"]["training"] == {**study["defaults"]["training"], "epochs": 1}
    assert changed["runs"] == {**study["runs"], "puma": {**study["runs"]["puma"], "pool": "real"}}
    assert study["defaults"]["training"]["epochs"] == 2
    assert {key for key in study if changed[key] != study[key]} == {"seeds", "defaults", "runs"}


def test_override_that_names_another_run_is_refused(study: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as error:
        overridden(study, {"runs": {"pumas": {}}}, "over.yaml")
    assert str(error.value) == 'expected the name of a run, got "pumas"; did you mean "puma"? at runs (over.yaml)'


@pytest.mark.parametrize("path", OVERRIDES, ids=lambda path: path.name)
def test_override_of_the_repository_is_of_the_paper_and_keeps_its_cuts_scores_and_reports(path: Path) -> None:
    raw = read_study_file(PAPER)
    changed = overridden(raw, yaml.safe_load(path.read_text()), str(path))
    kept = ("threat", "gate", "primary", "reports")
    assert {key: changed[key] for key in kept} == {key: raw[key] for key in kept}
    whole, small = parse_study(raw), parse_study(changed)
    for name, run in whole.trained.items():
        other = small.trained[name]
        assert (run.prune, run.epsilon, run.pool) == (other.prune, other.epsilon, other.pool)
        assert run.training.method == other.training.method
    assert small.name != whole.name


def test_files_are_told_apart_by_what_they_are_for() -> None:
    places = places_of(parse_study(read_study_file(PAPER)))
    assert places["1m"].owners == ("small", "medium")
    assert places["10m"].owners == ("large",)
    assert places["cifar10"].group == "datasets"
    assert {"margin", "margin-foreign", "margin-foreign-large"} <= set(places)
    assert "difficulty" not in places


def test_digest_is_64_hexadecimal_digits() -> None:
    assert is_sha256("0123456789abcdef" * 4)
    assert not is_sha256("0123456789abcdef" * 3)
    assert not is_sha256("g" * 64)
