"""The command that plans a study."""

import json
from pathlib import Path

import pytest

from pumalib.cli.main import main
from pumalib.cli.plan import duration

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "tests/workflow/tiny.yaml")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_bad_study_is_the_same_one_sentence_as_when_it_is_checked(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "bad.yaml").write_text(Path(TINY).read_text().replace("method: deepfool", "method: deepfoul"))
    told = []
    for command in ("check", "plan"):
        assert main([command, "bad.yaml"]) == 1
        told.append(capsys.readouterr())
    assert told[0] == told[1]
    assert told[1].err.startswith("Error: expected ")


def test_a_study_of_a_theory_is_refused(capsys: Capture) -> None:
    assert main(["plan", str(ROOT / "studies/perceptron.yaml")]) == 1
    assert "expected a study of trainings, got one of a theory" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--cores", "0"], ["--tf32"]])
def test_options_that_mean_nothing_are_a_wrong_command_line(capsys: Capture, options: list[str]) -> None:
    assert main(["plan", TINY, *options]) == 2
    assert capsys.readouterr().err.startswith("Error: expected --")


def test_times_on_a_gpu_are_predicted_from_counts_and_said_to_be(capsys: Capture) -> None:
    assert main(["plan", TINY, "--on", "h100", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["is_predicted"]
    stages = {stage["rule"]: stage for stage in told["stages"]}
    assert (stages["model"]["jobs"], stages["attack"]["jobs"], stages["report"]["jobs"]) == (2, 4, 2)
    assert stages["model"]["seconds"] > 0 == stages["selection"]["seconds"]
    # 5,760 draws of each training: 2 clean and 1 adversarial pass and the attack, forward and backward; see the study.
    assert stages["model"]["passes"] == 2 * 5760 * (2 + 2 + 2 * attack_steps())
    assert main(["plan", TINY, "--on", "h200", "--jobs"]) == 0
    captured = capsys.readouterr()
    assert "predicted from counts and its data sheet, not measured" in captured.out
    assert "model puma" in captured.out


def attack_steps() -> int:
    from pumalib.study.file import load_study
    from pumalib.study.study import Study

    study = load_study(TINY)
    assert isinstance(study, Study)
    return int(getattr(study.trained["puma"].training, "attack_steps", 0))


def test_amounts_are_spelled_in_units_that_fit() -> None:
    assert [duration(seconds) for seconds in (90, 600, 36_000)] == ["90.0 s", "10.0 min", "10.0 h"]
