"""The chain behind a file or a number: whole where nothing was touched, and every kind of damage is named."""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import h5py
import pandas as pd
import pytest

from pumalib.cli.main import main
from pumalib.files.digests import seal
from pumalib.files.provenance import code_fingerprint
from pumalib.lineage.chain import Tracer

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
Capture = pytest.CaptureFixture[str]
LINE = ["results/small/results.csv", "--run", "puma", "--attack", "cw"]


def trace(capsys: Capture, *arguments: str, status: int) -> str:
    assert main(["trace", *arguments]) == status
    return capsys.readouterr().out


def test_a_number_is_followed_to_the_dataset_through_every_file(in_study: Path, capsys: Capture) -> None:
    out = trace(capsys, *LINE, status=0)
    results = pd.read_csv(LINE[0]).set_index(["run", "attack", "metric"])["value"]
    number = results["puma", "cw", "robust_accuracy"]
    assert out.startswith(f"robust accuracy of puma, seed 0 under cw: {number:g} (50 images")
    for path in (
        "attacks/puma/seed0/cw.h5",
        "models/puma/seed0/model.safetensors",
        "selections/puma/seed0.h5",
        "scores/margin/seed0.h5",
        "scores/margin/seed0/shard1.h5",
        "models/trades/seed0/model.safetensors",
        "pools/digits+20/seed0.h5",
        "synthetic/digits+20/seed0.h5",
        "generators/edm/seed0/model.safetensors",
        "datasets/digits/seed0.h5",
    ):
        assert f"{in_study}/{path}" in out
    assert "training.learning_rate=0.1" in out
    assert "torch " in out
    assert "Every recorded fingerprint agrees with the files." in out


KINDS = [
    "datasets/digits/seed0.h5", "generators/edm/seed0", "synthetic/digits+20/seed0.h5",
    "synthetic/digits+real/seed0.h5", "pools/digits+20/seed0.h5", "pools/robustified/seed0.h5",
    "learned/robustified/seed0.h5", "scores/margin/seed0.h5",
    "scores/margin/seed0/shard0.h5", "scores/difficulty/seed0.h5", "scores/noise/seed0.h5", "selections/puma/seed0.h5",
    "selections/hard/seed0.h5", "models/puma/seed0", "models/puma/seed0/track.h5", "models/puma/seed0/history.csv",
    "attacks/puma/seed0/shortest.h5",
]  # fmt: skip


@pytest.mark.parametrize("path", KINDS)
def test_every_kind_of_file_leads_back_to_the_dataset_without_a_problem(
    in_study: Path, capsys: Capture, path: str
) -> None:
    chain = json.loads(trace(capsys, str(in_study / path), "--json", status=0))
    assert chain["problems"] == []
    assert "datasets/digits/seed0.h5" in json.dumps(chain["chain"])


def test_clean_accuracy_is_read_off_the_largest_table(in_study: Path, capsys: Capture) -> None:
    out = trace(capsys, LINE[0], "--run", "puma", "--metric", "clean_accuracy", status=0)
    assert "(50 images, study small)" in out
    assert "attack table  results/small/attacks/puma/seed0/cw.h5" in out


def test_json_has_settings_code_and_versions_of_each_file_once(in_study: Path, capsys: Capture) -> None:
    told = json.loads(trace(capsys, *LINE, "--json", status=0))
    assert told["line"]["run"] == "puma"
    node = told["chain"]
    assert node["kind"] == "attack"
    assert node["settings"]["steps"] == 2
    assert node["code"] == {"pumalib.made_up": "0123", "python": "3"}
    assert set(node["library_versions"]) >= {"torch", "numpy"}
    model = node["inputs"][0]
    assert model["recorded_fingerprint"] == model["fingerprint"] == node["recorded_inputs"]["model"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user for a while")
@pytest.mark.parametrize("path", ["scores/margin/seed0.h5", "models/trades/seed0/model.safetensors"])
def test_a_file_that_may_not_be_read_is_named_among_the_problems(
    small_study: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    with tempfile.TemporaryDirectory() as name:
        copy = Path(shutil.copytree(small_study, Path(name) / "copy"))
        for each in (Path(name), copy, *copy.rglob("*")):
            each.chmod(0o755)
        monkeypatch.chdir(copy)
        (copy / "results/small" / path).chmod(0o600)
        os.seteuid(65534)
        try:
            out = trace(capsys, *LINE, status=1)
        finally:
            os.seteuid(0)
            monkeypatch.undo()
    problems = " ".join(out.partition(" problem")[2].split())
    assert f"expected to read results/small/{path}, got: Permission denied" in problems
    assert "datasets/digits/seed0.h5" in out


def change(path: Path, name: str) -> None:
    """Change every number of a stored array, as if the file had been written so."""
    with h5py.File(path, "r+") as file:
        file[name][...] = file[name][...] + 1
    seal(path)


SPOILED = {
    "selections/puma/seed0.h5": ("epsilons", "expected finite epsilons around their mean"),
    "scores/margin/seed0.h5": ("score", "expected the score margin with the recorded fingerprint"),
    "scores/margin/seed0/shard0.h5": ("score", "other scores there"),
    "datasets/digits/seed0.h5": ("train/images", "it was changed after it was made"),
    "synthetic/digits+20/seed0.h5": ("labels", "it was changed after it was made"),
    "attacks/puma/seed0/cw.h5": ("adversarial_prediction", "expected value "),
}


@pytest.mark.parametrize("path", SPOILED)
def test_a_file_that_was_changed_is_named_with_status_1(copied_study: Path, capsys: Capture, path: str) -> None:
    name, message = SPOILED[path]
    change(copied_study / path, name)
    out = trace(capsys, *LINE, status=1)
    problems = " ".join(out.partition(" problem")[2].split())
    assert message in problems
    assert f"{copied_study / path}" in problems
    assert "agrees" not in out


def test_weights_of_another_training_are_named(copied_study: Path, capsys: Capture) -> None:
    models = copied_study / "models"
    (models / "trades/seed0/model.safetensors").write_bytes((models / "puma/seed0/model.safetensors").read_bytes())
    out = trace(capsys, *LINE, status=1)
    assert "expected the model with the recorded fingerprint" in out
    assert re.search(r"─ model  results/small/models/trades/seed0/model.safetensors  PROBLEM\n", out)


def test_another_track_behind_a_score_is_named(copied_study: Path, capsys: Capture) -> None:
    change(copied_study / "models/trades/seed0/track.h5", "loss")
    out = trace(capsys, str(copied_study / "scores/difficulty/seed0.h5"), status=1)
    assert "expected tracks with the fingerprint" in " ".join(out.split())


MISSING = {
    "models/puma/seed0/model.safetensors": "expected the model at results/small/models/puma/seed0/model.safetensors",
    "datasets/digits/seed0.h5": "expected the dataset (test) at results/small/datasets/digits/seed0.h5, found nothing",
    "pools/digits+20/seed0.h5": "expected the pool at results/small/pools/digits+20/seed0.h5, found nothing",
    "attacks/puma/seed0/cw.h5": "expected the attack table at results/small/attacks/puma/seed0/cw.h5, found nothing",
}


@pytest.mark.parametrize("path", MISSING)
def test_a_file_that_is_gone_is_named(copied_study: Path, capsys: Capture, path: str) -> None:
    (copied_study / path).unlink()
    out = trace(capsys, *LINE, status=1)
    assert MISSING[path] in " ".join(out.split())


def test_a_damaged_file_on_the_way_is_a_problem_and_no_traceback(copied_study: Path, capsys: Capture) -> None:
    path = copied_study / "scores/margin/seed0.h5"
    os.truncate(path, path.stat().st_size // 2)
    assert f"damaged or foreign file at {path}" in " ".join(trace(capsys, *LINE, status=1).split())


def forget_inputs(path: Path, *kept: str) -> None:
    """Leave only some inputs in a header, as if the file had been written so."""
    with h5py.File(path, "r+") as file:
        inputs = json.loads(file.attrs["inputs"])
        file.attrs["inputs"] = json.dumps({role: inputs[role] for role in kept})
    seal(path)


INCOMPLETE = {
    "selections/puma/seed0.h5": (["score margin"], "'pool' among what a selection"),
    "scores/margin/seed0.h5": ([], "'pool' among what a score table"),
    "attacks/puma/seed0/cw.h5": (["model"], "'dataset' among what an attack table"),
    "pools/digits+20/seed0.h5": ([], "an input among what a pool"),
}


@pytest.mark.parametrize("path", INCOMPLETE)
def test_a_file_that_does_not_record_its_origin_is_a_problem(copied_study: Path, capsys: Capture, path: str) -> None:
    kept, message = INCOMPLETE[path]
    forget_inputs(copied_study / path, *kept)
    out = " ".join(trace(capsys, *LINE, status=1).split())
    assert f"expected {message} records of its origin, found none in {copied_study / path}" in out


def test_a_number_that_its_files_do_not_give_is_named(copied_study: Path, capsys: Capture) -> None:
    path = copied_study / "results.csv"
    text = path.read_text()
    path.write_text(text.replace("small,puma,0,digits+20,", "small,puma,0,digits+20,1"))
    assert "expected num_kept " in " ".join(trace(capsys, *LINE, status=1).split())


def record_code(path: Path, code: dict[str, str]) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["code"] = json.dumps(code)
    seal(path)


def test_code_that_changed_since_is_named_and_is_no_problem(copied_study: Path, capsys: Capture) -> None:
    dataset = copied_study / "datasets/digits/seed0.h5"
    assert "made with Python 3: not to be compared with today's]" in " ".join(
        trace(capsys, str(dataset), status=0).split()
    )
    code = code_fingerprint(SCRIPTS / "dataset.py", "pumalib.data.sources.digits")
    record_code(dataset, code)
    assert "The code that made the 1 files is today's." in trace(capsys, str(dataset), status=0)
    record_code(dataset, {**code, "pumalib.files.artifacts": "0123", "dataset.py": "0123", "pumalib.gone": "0123"})
    out = " ".join(trace(capsys, str(dataset), status=0).split())
    assert "modules, changed since: dataset.py, pumalib.files.artifacts, pumalib.gone]" in out
    assert "The code that made 1 of 1 files is not today's: a run may make them again." in out
    assert "Every recorded fingerprint agrees with the files." in out


def test_results_that_were_cut_short_are_a_problem(copied_study: Path, capsys: Capture) -> None:
    path = copied_study / "results.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    out = " ".join(trace(capsys, *LINE, status=1).split())
    assert "expected results/small/results.csv as it was written, got one that was changed or cut short" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["results/small/results.csv", "--run", "puma"],
            "say which attack: none, cw, shortest; metric: clean_accuracy",
        ),
        (["results/small/results.csv", "--run", "pumma"], "with run pumma, found none; there is run: trades, puma"),
        (["results/small/scores/margn/seed0.h5"], "did you mean results/small/scores/margin/seed0.h5?"),
        (["results/small/scores"], "got the folder results/small/scores; results/small/scores has difficulty, margin"),
        (["results/small/models/puma/seed0/history.cvs"], "did you mean results/small/models/puma/seed0/history.csv?"),
    ],
)
def test_what_cannot_be_traced_is_one_sentence(
    in_study: Path, capsys: Capture, arguments: list[str], message: str
) -> None:
    assert main(["trace", *arguments]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.count("\n") == 1


def test_keys_of_a_line_with_another_file_are_a_wrong_command_line(in_study: Path, capsys: Capture) -> None:
    assert main(["trace", str(in_study / "pools/digits+20/seed0.h5"), "--run", "puma"]) == 2
    assert "expected results.csv with --run" in capsys.readouterr().err


def test_example_of_the_page_runs_in_a_notebook(in_study: Path, capsys: Capture) -> None:
    page = (Path(__file__).parents[2] / "docs/command-line.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(block.replace("results/digits", str(in_study)).replace("puma-20", "puma"), names)
    assert len(names["figure"].axes) == 16
    assert "█" in capsys.readouterr().out


def test_the_chain_is_there_for_notebooks(in_study: Path) -> None:
    node = Tracer().trace(in_study / "selections/puma/seed0.h5")
    assert node.all_problems == []
    assert {each.header.kind for each in node.walk() if each.header} >= {"scores", "pool", "model", "dataset"}
