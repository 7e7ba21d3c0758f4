"""`puma compare` of results files and of studies."""

import csv
import json
from pathlib import Path

import pytest
from made_results import MadeResults

from pumalib.cli.main import main

Capture = pytest.CaptureFixture[str]
WORSE, BETTER = [[1, 0, 1, 0, 1, 0]] * 3, [[1, 1, 1, 0, 1, 0]] * 3


@pytest.fixture(autouse=True)
def two_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder with `results/one` and `results/two`, of the same seeds and images."""
    monkeypatch.chdir(tmp_path)
    for name, answers in (("one", WORSE), ("two", BETTER)):
        made = MadeResults(tmp_path / "results" / name)
        made.attack("trades", (0, 1, 2), answers)
        made.collect()
        made.tell_settings(threads=1 if name == "one" else 2)


def test_studies_are_compared_by_settings_origin_and_results(capsys: Capture) -> None:
    assert main(["compare", "results/one", "results/two"]) == 0
    told = capsys.readouterr().out
    assert "Settings that differ\n  threads: 1 -> 2\n" in told
    assert "  torch " in told
    assert "  trades  cw, L-inf 0.1  50.00 ± 0.00   66.67 ± 0.00   +16.67 [-36.06, 69.39]" in told
    assert "Differences are paired by seed and image." in told


def test_programs_get_the_same_with_settings_and_libraries(capsys: Capture) -> None:
    assert main(["compare", "results/one", "results/two", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["first"], told["second"]) == ("study", "results/one", "results/two")
    assert told["settings"] == [{"key": "threads", "first": 1, "second": 2}]
    assert told["libraries"]["first"]["torch"] == told["libraries"]["second"]["torch"]
    clean, robust = told["lines"]
    assert (clean["metric"], clean["difference"]) == ("clean_accuracy", 0)
    assert robust["difference"] == pytest.approx(1 / 6)
    assert (robust["first_num_seeds"], robust["epsilon"], robust["paired_by"]) == (3, 0.1, "seed and image")
    assert (told["alone"], told["notes"], told["changed_modules"]) == ([], [], [])


def test_results_files_are_compared_and_written_as_csv(capsys: Capture) -> None:
    files = ["results/one/results.csv", "results/two/results.csv"]
    assert main(["compare", *files, "--out", "both.csv"]) == 0
    assert "both.csv: every number of the table" in capsys.readouterr().out
    with open("both.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["metric"] for row in rows] == ["clean_accuracy", "robust_accuracy"]
    assert float(rows[1]["difference"]) == pytest.approx(1 / 6)
    assert main(["compare", *files, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "results"


def test_two_runs_of_one_results_file_are_compared(tmp_path: Path, capsys: Capture) -> None:
    made = MadeResults(tmp_path / "results/both")
    made.attack("trades", (0, 1, 2), WORSE)
    made.attack("puma", (0, 1, 2), BETTER)
    made.collect()
    files = ["results/both/results.csv"] * 2
    assert main(["compare", *files, "--runs", "trades=puma", "--out", "runs.csv"]) == 0
    assert "trades = puma" in capsys.readouterr().out
    with open("runs.csv") as file:
        rows = {row["metric"]: row for row in csv.DictReader(file)}
    assert float(rows["robust_accuracy"]["difference"]) == pytest.approx(1 / 6)  # four of six images instead of three


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        (("results/one", "results/two/results.csv"), "got a study (results/one) and a results file (results/two/"),
        (("results/one/results.csv", "x.h5"), "got a results file (results/one/results.csv) and another file (x.h5)"),
    ],
)
def test_a_mixture_is_refused_in_one_sentence(capsys: Capture, pair: tuple[str, str], told: str) -> None:
    Path("x.h5").touch()
    assert main(["compare", *pair]) == 2
    error = capsys.readouterr().err
    assert error.startswith("Error: expected two of one kind, ")
    assert told in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["results/one", "results/two", "--out", "a.png"], 2, "expected --out of a name that ends with .csv"),
        (["results/one", "results/two", "--runs", "trades", "trades=x"], 2, "each run of the first once"),
        (["results/one", "results/two", "--runs", "trade"], 1, 'got "trade"; did you mean "trades"?'),
        (["a.h5", "b.h5", "--runs", "trades"], 2, "expected --runs, --common-seeds and --out X.csv with two results"),
        (["results/one/results.csv", "results/one/results.csv"], 1, "expected two results, got"),
        ([*["results/one/results.csv"] * 2, "--runs", "trades"], 1, "or set runs of it beside others"),
        (["results/one/results.csv", "gone.csv"], 1, "gone.csv"),
        (["results/one", "results/tow"], 1, "found nothing at results/tow; results has one, two"),
        (["results/one", "one.yaml"], 1, "expected a study file, found nothing at one.yaml"),
        (["results/one", "results"], 1, "expected the results of a study that has run"),
    ],
)
def test_mistakes_are_told_in_one_sentence(capsys: Capture, words: list[str], status: int, told: str) -> None:
    assert main(["compare", *words]) == status
    captured = capsys.readouterr()
    assert told in captured.err
    assert (captured.err.count("\n"), captured.out) == (1, "")


def test_studies_that_share_a_folder_or_no_run_are_compared_by_settings_alone(capsys: Capture) -> None:
    assert main(["compare", "results/one", "results/../results/one"]) == 0
    assert "Nothing is compared but settings: both studies have their results in results/one" in capsys.readouterr().out
    made = MadeResults(Path("results/three").resolve())
    made.attack("plain", (0, 1, 2), BETTER)
    made.collect()
    made.tell_settings()
    assert main(["compare", "results/one", "results/three"]) == 0
    told = capsys.readouterr().out
    assert "  runs in the first alone: trades\n" in told
    assert "no run has the same name in both; say which are alike, such as --runs trades=plain" in told
    assert main(["compare", "results/one", "results/three", "--runs", "trades=plain", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lines"][1]["run_in_second"] == "plain"
