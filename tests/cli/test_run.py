"""`puma run` and `puma report`: what is refused before any work, in one sentence."""

import sys
from pathlib import Path

import pytest

from pumalib.cli.main import main

ROOT = Path(__file__).parents[2]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def beside_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text((ROOT / "tests/workflow/tiny.yaml").read_text())


WRONG = {
    ("run", "tiny.yaml", "--keep-going"): (
        "expected options that `puma run --help` lists, got --keep-going; Snakemake's own come after --"
    ),
    ("run", "tiny.yaml", "--", "--foo"): ("expected options of Snakemake after --, got: unrecognized arguments: --foo"),
    ("run", "tiny.yaml", "--", "--configfile=a.yaml"): (
        "expected other options than --configfile after --, got it: the study comes first"
    ),
    ("run", "tiny.yaml", "--profile", "nope"): (
        "expected a folder with a config.yaml, or one of default, slurm, got --profile nope"
    ),
    ("report", "tiny.yaml", "--out", "x.pdf"): "expected --out of a name that ends with .html or .zip, got x.pdf",
}


@pytest.mark.parametrize(("words", "message"), WRONG.items())
def test_wrong_options_are_one_message(capsys: Capture, words: tuple[str, ...], message: str) -> None:
    assert main(list(words)) == 2
    assert capsys.readouterr() == ("", f"Error: {message}\n")


@pytest.mark.parametrize("command", ["run", "report"])
def test_study_that_is_not_there_is_named(capsys: Capture, command: str) -> None:
    assert main([command, "tiy.yaml"]) == 1
    assert capsys.readouterr() == (
        "",
        "Error: expected a study file, found nothing at tiy.yaml; did you mean tiny.yaml?\n",
    )


@pytest.mark.parametrize("command", ["run", "report"])
def test_without_snakemake_the_command_says_what_to_install(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setitem(sys.modules, "snakemake", None)
    assert main([command, "tiny.yaml"]) == 1
    message = "expected Snakemake, which runs studies, found none; install it: pip install 'pumalib[workflow]'"
    assert capsys.readouterr() == ("", f"Error: {message}\n")


def test_report_of_a_study_that_has_not_run_says_what_to_run(capsys: Capture) -> None:
    assert main(["report", "tiny.yaml"]) == 1
    told = "Error: expected results/tiny/results.csv, found none; run `puma run tiny.yaml` first\n"
    assert capsys.readouterr() == ("", told)
    assert [path.name for path in Path().iterdir()] == ["tiny.yaml"]


def test_number_of_processors_is_at_least_one(capsys: Capture) -> None:
    with pytest.raises(SystemExit):
        main(["run", "tiny.yaml", "--cores", "0"])
    assert "expected a number of at least 1, or all, got 0" in capsys.readouterr().err
