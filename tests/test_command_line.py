import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pumalib.cli.main import main

ROOT = Path(__file__).parents[1]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="utf-8")


def test_check_of_a_good_study_counts_runs_and_seeds(capsys: Capture) -> None:
    assert main(["check", str(ROOT / "config.yaml")]) == 0
    assert capsys.readouterr().out.startswith(f"{ROOT / 'config.yaml'}: 4 runs, 5 seeds, no problem found\n")


@pytest.mark.parametrize("command", ["check", "summary", "errors"])
@pytest.mark.parametrize("content", [None, "", "study: [1\n", "study: a\nstudy: b\n", "study: ../x\n", "study: 7\n"])
def test_bad_study_file_is_one_message_and_status_1(capsys: Capture, command: str, content: str | None) -> None:
    if content is not None:
        write("study.yaml", content)
    assert main([command, "study.yaml"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: expected ")
    assert "study.yaml" in captured.err
    assert captured.err.count("\n") == 1


def test_study_that_is_not_there_is_answered_with_the_nearest(capsys: Capture) -> None:
    write("studies/mine.yaml", "study: mine\n")
    for command in ("check", "summary", "errors"):
        assert main([command, "studys/mine.yml"]) == 1
        told = "expected a study file, found nothing at studys/mine.yml; did you mean studies/mine.yaml?"
        assert capsys.readouterr().err == f"Error: {told}\n"


def test_study_of_the_name_given_is_found_in_its_folder(capsys: Capture) -> None:
    write("studies/templates/flowers.yaml", "study: flowers\n")
    assert main(["check", "flowers"]) == 1
    assert capsys.readouterr().err.endswith("found nothing at flowers; did you mean studies/templates/flowers.yaml?\n")


def test_file_of_a_study_that_has_not_run_is_told_so(capsys: Capture) -> None:
    write("tests/x", "near to the name results\n")
    assert main(["inspect", "results/digits/results.csv"]) == 1
    told = "expected a file, found nothing at results/digits/results.csv; no study has run in this folder yet"
    assert capsys.readouterr().err == f"Error: {told}\n"


def test_version_is_that_of_the_package(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as error:
        main(["--version"])
    assert error.value.code == 0
    assert capsys.readouterr().out == f"pumalib {importlib.metadata.version('pumalib')}\n"


def test_bad_study_gives_no_traceback_from_the_shell(tmp_path: Path) -> None:
    write("config.yaml", "sedes: [1]\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pumalib", "check"]
    finished = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout) == (1, "")
    assert 'got "sedes"; did you mean "seeds"? at sedes (config.yaml)' in finished.stderr
    assert "Traceback" not in finished.stderr


def test_schema_is_printed_as_json(capsys: Capture) -> None:
    assert main(["schema", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "PUMA study"


def test_summary_before_the_first_run_says_what_to_do(capsys: Capture) -> None:
    write("config.yaml", "study: tiny\n")
    assert main(["summary"]) == 1
    told = "Error: expected results/tiny/results.csv, found none; run `puma run{}` first\n"
    assert capsys.readouterr().err == told.format("")
    write("mine.yaml", "study: tiny\n")
    assert main(["summary", "mine.yaml"]) == 1
    assert capsys.readouterr().err == told.format(" mine.yaml")


def test_summary_prints_the_reports_of_the_study_in_its_order_and_where_files_are(capsys: Capture) -> None:
    write("config.yaml", "study: tiny\nreports: {a-table: {}, b-table: {}}\ngate: {}\n")
    write("results/tiny/reports/gate.md", "**Gate passed.**\n")
    write("results/tiny/reports/a-report-of-before.md", "**Gate failed.**\n")
    write("results/tiny/results.csv", "study,run\n")
    write("results/tiny/reports/b-table.md", "| b |\n")
    write("results/tiny/reports/a-table.md", "| a |\n")
    assert main(["summary"]) == 0
    out = capsys.readouterr().out
    assert out.index("== gate ==") < out.index("== a-table ==\n\n| a |") < out.index("== b-table ==\n\n| b |")
    assert "before" not in out
    assert "All numbers: results/tiny/results.csv" in out
    places = [f"results/tiny/reports/{name}.png" for name in ("gate", "a-table", "b-table")]
    assert f"Reports (png): {', '.join(places)}\n" in out
    assert "Selections: results/tiny/selections" in out


def test_summary_without_reports_lists_none(capsys: Capture) -> None:
    write("config.yaml", "study: tiny\n")
    write("results/tiny/results.csv", "study,run\n")
    assert main(["summary"]) == 0
    assert "Reports" not in capsys.readouterr().out


def test_errors_prints_the_messages_of_failed_jobs(capsys: Capture) -> None:
    write("config.yaml", "study: tiny\n")
    write("results/tiny/logs/errors.txt", "expected this, got that\n  log: x.log\n")
    assert main(["errors"]) == 1
    captured = capsys.readouterr()
    assert captured.err == "\nError: expected this, got that\n  log: x.log\n"


def test_errors_after_a_good_run_is_silent(capsys: Capture) -> None:
    write("config.yaml", "study: tiny\n")
    assert main(["errors"]) == 0
    assert capsys.readouterr() == ("", "")


def test_commands_about_a_study_print_json_when_asked(capsys: Capture) -> None:
    write("config.yaml", "study: tiny\nreports: {table: {}}\n")
    write("results/tiny/results.csv", "study,run\ntiny,puma\n")
    write("results/tiny/reports/table.md", "| a |\n")
    write("results/tiny/logs/errors.txt", "expected this, got that\n")
    told = {}
    for command, status in (("summary", 0), ("errors", 1)):
        assert main([command, "--json"]) == status
        told[command] = json.loads(capsys.readouterr().out)
    assert told["summary"]["results"] == [{"study": "tiny", "run": "puma"}]
    assert told["summary"]["reports"]["table"]["png"] == "results/tiny/reports/table.png"
    assert told["errors"] == {"errors": "expected this, got that"}
    assert main(["check", str(ROOT / "config.yaml"), "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)
    assert (checked["study"], checked["extent"], checked["seeds"]) == ("digits", "4 runs", [0, 1, 2, 3, 4])


def test_summary_names_the_page_of_the_study(capsys: Capture) -> None:
    write("config.yaml", "study: tiny\n")
    write("results/tiny/results.csv", "study,run\n")
    write("results/tiny/README.md", "# tiny\n")
    assert main(["summary"]) == 0
    assert "\nPage: results/tiny/README.md\n" in capsys.readouterr().out


ABOUT_FILES = ["inspect", "show", "browse", "export", "compare", "trace", "recheck", "robustbench"]
COMMANDS = ["run", "report", "check", "summary", "errors", *ABOUT_FILES, "schema"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_shows_examples_and_the_exit_status(capsys: Capture, command: str) -> None:
    with pytest.raises(SystemExit) as error:
        main([command, "--help"])
    assert error.value.code == 0
    out = capsys.readouterr().out
    assert f"examples:\n  python -m pumalib {command}" in out
    assert "Exit status: 0 fine, 1 a problem" in out


@pytest.mark.parametrize("arguments", [[], ["chek"], ["check", "a", "b"]])
def test_wrong_command_line_shows_its_usage(capsys: Capture, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert "usage: python -m pumalib" in capsys.readouterr().err
