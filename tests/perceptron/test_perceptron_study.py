import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pumalib.__main__ import main
from pumalib.errors import ConfigError
from pumalib.perceptron.study import PerceptronStudy, parse_perceptron_study
from pumalib.study.file import load_study
from pumalib.study.study import json_schema

ROOT = Path(__file__).parents[2]
STUDY: dict[str, Any] = {
    "study": "theory",
    "seeds": [0, 1, 2],
    "perceptron": {
        "students": {"online": {}, "logistic": {"steps": 5}},
        "teachers": ["axis", "dense"],
        "epsilons": [0, 0.01],
        "kept_fractions": [0.5],
        "alphas": [1, 2, 4, 8],
        "shards": 2,
    },
    "reports": {
        "figure": {"kind": "error_curves", "student": "online", "epsilon": 0.01, "is_filtered": True},
        "fits": {"kind": "decay", "student": "logistic", "teacher": "dense"},
    },
}


@pytest.fixture
def theory() -> dict[str, Any]:
    """A valid study of the perceptron theory that a test may edit."""
    return copy.deepcopy(STUDY)


@pytest.mark.parametrize("name", ["perceptron", "paper-perceptron", "paper-perceptron-teachers"])
def test_studies_of_the_theory_go_through_the_same_door(name: str) -> None:
    assert isinstance(load_study(ROOT / f"studies/{name}.yaml"), PerceptronStudy)


def test_paper_study_holds_the_grid_that_decides() -> None:
    study = load_study(ROOT / "studies/paper-perceptron.yaml").settings
    grid = study.perceptron
    assert grid.num_features == 200
    assert len(study.seeds) >= 10
    assert {"hard_margin", "logistic"} <= set(grid.students.names)
    assert {1.5, 1.75, 2, 2.25, 2.5, 4, 8} <= set(grid.alphas)
    assert {0.2, 0.1, 0.05, 0.02, 0.01, 0.001} <= set(grid.kept_fractions)
    assert {0, 0.01} <= set(grid.epsilons)
    assert {"figure-1", "figure-3", "figure-4"} <= set(study.reports)


def test_other_study_of_the_paper_holds_its_second_figure_and_the_other_teachers() -> None:
    study = load_study(ROOT / "studies/paper-perceptron-teachers.yaml").settings
    assert {0, 0.001, 0.01} <= set(study.perceptron.epsilons)
    assert set(study.perceptron.teachers) == {"axis", "dense", "random"}
    assert "figure-2" in study.reports


def test_small_study_shows_the_breakdown_and_its_repair() -> None:
    grid = load_study(ROOT / "studies/perceptron.yaml").settings.perceptron
    assert (grid.num_features, grid.teachers, grid.epsilons) == (200, ("axis",), (0, 0.01))
    assert set(grid.students.names) == {"hard_margin", "logistic"}
    assert {0.2, 0.02, 0.01} == set(grid.kept_fractions)
    assert 4 in grid.alphas


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("perceptron|students", {}, "expected at least one of logistic, online, max_margin and hard_margin"),
        ("perceptron|students|onlin", {}, 'did you mean "online"? at perceptron.students.onlin'),
        ("perceptron|teachers", ["axis", "axis"], "expected each value once"),
        ("perceptron|teachers", ["axes"], "at perceptron.teachers[0]"),
        ("perceptron|kept_fractions", [1.0], "at perceptron.kept_fractions[0]"),
        ("perceptron|epsilons", [-0.1], "at perceptron.epsilons[0]"),
        ("perceptron|alphas", [], "at perceptron.alphas"),
        ("perceptron|shards", 4, "expected at most a shard a seed, 3, got 4 at perceptron.shards"),
        ("seeds", [1, 1], "expected distinct seeds of at least 0, got [1, 1]"),
        ("threat", {"norm": "linf", "epsilon": 0.1}, 'expected a known key, got "threat"'),
        ("reports|perceptron", {"kind": "decay", "student": "online"}, "a target of the workflow"),
        ("reports|figure|epsilon", 0.02, 'expected one of the grid, got "0.02"'),
        ("reports|figure|epsilon", 0, "expected an epsilon above 0 for a filtered figure"),
        ("reports|figure|student", "max_margin", "at reports.figure.student"),
        ("reports|fits|teacher", "random", "at reports.fits.teacher"),
        ("reports|fits|fit_from_alpha", 3, "expected at least 3 alphas from 3 on for a fit, got 2"),
        ("perceptron|strategies", ["pd"], "expected pe among perceptron.strategies"),
        ("reports|fits|kind", "comparison", "expected kind error_curves or decay, got 'comparison' at reports.fits"),
    ],
)
def test_mistake_is_refused_with_its_place(
    theory: dict[str, Any], put: Any, path: str, value: object, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        parse_perceptron_study(put(theory, path, value), "study.yaml")
    assert message in str(error.value)
    assert "(study.yaml)" in str(error.value)


def test_shards_cover_the_seeds_in_order(theory: dict[str, Any]) -> None:
    study = parse_perceptron_study(theory)
    assert [study.seeds_of_shard(shard) for shard in range(2)] == [(0,), (1, 2)]


def test_slice_of_a_student_holds_nothing_of_the_others(theory: dict[str, Any]) -> None:
    grid = parse_perceptron_study(theory).settings.perceptron
    own = grid.slice_of("online")
    assert own["students"] == {"online": {}}
    assert {"teachers", "shards"}.isdisjoint(own)


def test_schema_knows_both_kinds_of_study(theory: dict[str, Any], study: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(theory)
    validator.validate(study)
    for bad in ({**theory, "sedes": [1]}, {**study, "perceptron": theory["perceptron"]}, {"study": "a", "seeds": [1]}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(bad)


def test_check_and_summary_know_the_theory(
    theory: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("theory.yaml").write_text(yaml.safe_dump(theory))
    assert main(["check", "theory.yaml"]) == 0
    assert capsys.readouterr().out == "theory.yaml: 2 students, 2 teachers, 3 seeds, no problem found\n"
    assert main(["summary", "theory.yaml"]) == 1
    assert "expected results/theory/perceptron.csv, found none" in capsys.readouterr().err
    Path("results/theory/reports").mkdir(parents=True)
    Path("results/theory/perceptron.csv").write_text("student\n")
    Path("results/theory/reports/fits.md").write_text("| fits |\n")
    assert main(["summary", "theory.yaml"]) == 0
    out = capsys.readouterr().out
    assert "| fits |" in out
    assert "All numbers: results/theory/perceptron.csv" in out
    assert "Models" not in out
