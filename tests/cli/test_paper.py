"""`puma paper` on made-up files: what it says of good ones, and of each that is wrong."""

import json
import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stand_ins import batch_of, write_cifar10, write_generated, write_python2_pickle

from pumalib.cli.main import main
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.study.file import load_study, read_study_file
from pumalib.study.study import Study, parse_study

ROOT = Path(__file__).parents[2]
STUDY, REHEARSAL = str(ROOT / "studies/paper-cifar10.yaml"), str(ROOT / "studies/overrides/paper-rehearsal.yaml")
Capture = pytest.CaptureFixture[str]
CIFAR10, EDM, WEIGHTS = Path("data/cifar-10-batches-py"), Path("data/edm/1m.npz"), Path("weights.pt")
IMAGES, LABELS = np.zeros((1000, 32, 32, 3), np.uint8), np.arange(1000) % 10


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file, as it should be."""
    folder = tmp_path_factory.mktemp("given")
    write_cifar10(folder / CIFAR10)
    write_generated(folder / EDM)
    torch.save({"state_dict": network().state_dict()}, folder / WEIGHTS)
    (folder / "made-up.yaml").write_text("datasets: {cifar10: {published: false}}\n")
    return folder


@pytest.fixture(autouse=True)
def in_a_copy(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(given, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def network(classes: int = 10, width: int = 32) -> torch.nn.Module:
    return build_model(ArchitectureSettings(name="mlp", width=width), (32, 32, 3), classes)


def paper(*words: str) -> int:
    return main(["paper", STUDY, "--override", REHEARSAL, "--override", "made-up.yaml", *words])


def test_good_files_are_told_with_the_plan_and_the_study_is_written(capsys: Capture) -> None:
    assert paper() == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if ": ok" in line] == [
        f"cifar10: ok  {CIFAR10}",
        f"1m: ok  {EDM}",
        "margin: ok",
    ]
    assert "results/paper.yaml: 10 runs, seeds 0, 1, reports gate, primary, table-1, table-2\n" in out
    assert "20 trainings, 4 score shards, 26 attacks, 4 reports" in out
    assert out.endswith("Run it: puma run results/paper.yaml\nThen read results/paper-rehearsal/README.md\n")
    assert load_study("results/paper.yaml").name == "paper-rehearsal"


def test_without_the_rehearsal_runs_are_those_of_the_paper() -> None:
    Path("few.yaml").write_text("pools: {medium: {synthetic: {count: 1000}}}\n")  # as many as there are
    assert main(["paper", STUDY, "--override", "made-up.yaml", "--override", "few.yaml"]) == 0
    part, whole = load_study("results/paper.yaml"), parse_study(read_study_file(STUDY))
    assert isinstance(part, Study)
    assert len(part.runs) == 10
    assert all(part.runs[name] == whole.runs[name] for name in part.runs)
    assert part.settings.seeds == whole.settings.seeds == (0, 1, 2, 3, 4)


def test_every_problem_is_told_at_once_with_what_each_file_should_be(capsys: Capture) -> None:
    shutil.rmtree("data")
    assert main(["paper", STUDY, "--file", "margin=none.pt", "--sha256", f"1m={'a' * 64}"]) == 1
    told = capsys.readouterr()
    out = " ".join(told.out.split())
    for heading in (f"cifar10: missing {CIFAR10}", f"1m: missing {EDM}", "margin: missing none.pt"):
        assert heading in out
    assert "pickles with data, uint8 [N, 3072]" in out
    assert "the published files, N = 10,000 each, by their MD5 digests" in out
    assert "the keys image and label, N of each, at least 1,000,000" in out
    assert f"label: int64 [N], 0 to 9 SHA-256 {'a' * 64}" in out
    assert "weights of resnet-18 for 10 classes" in out
    assert told.err == (
        "Error: expected the files above, got problems with cifar10, 1m, margin; nothing was run or written\n"
    )
    assert not Path("results").exists()


def cut(path: Path) -> Callable[[], None]:
    return lambda: os.truncate(path, path.stat().st_size // 2)


def published() -> None:
    """Ask for the published files, which made-up ones are not."""
    Path("made-up.yaml").write_text("{}")


def batch(**entries: Any) -> Callable[[], None]:
    """Return what writes a train batch with other entries; None: without one."""

    def write() -> None:
        contents = {**batch_of("data_batch_2", 40, 2), **entries}
        kept = {key: value for key, value in contents.items() if value is not None}
        write_python2_pickle(CIFAR10 / "data_batch_2", kept)

    return write


def generated(**arrays: Any) -> Callable[[], None]:
    return lambda: np.savez(EDM, **arrays)


def weights(change: Callable[[dict[str, Any]], Any]) -> Callable[[], None]:
    """Return what writes a changed state dict."""

    def write() -> None:
        state = network().state_dict()
        change(state)
        torch.save(state, WEIGHTS)

    return write


FIRST = "hidden1.weight"
PIXELS = np.zeros((40, 3072), np.uint8)


@pytest.mark.parametrize(
    ("spoil", "name", "message"),
    [
        (lambda: shutil.rmtree(CIFAR10), "cifar10", "found no data_batch_1, data_batch_2"),
        ((CIFAR10 / "data_batch_2").unlink, "cifar10", "found no data_batch_2"),
        (cut(CIFAR10 / "data_batch_2"), "cifar10", "expected a whole pickle at data/cifar-10-batches-py/data_batch_2"),
        (published, "cifar10", "the published file data_batch_2 of CIFAR-10 (MD5 d4bba"),
        (batch(data=None), "cifar10", "expected key 'data' in data/cifar-10-batches-py/data_batch_2"),
        (batch(data=PIXELS[:, 1:]), "cifar10", "expected data as uint8 [N, 3072] in {batch}, got uint8 [40, 3071]"),
        (batch(data=PIXELS.astype(np.float64)), "cifar10", "expected data as uint8 [N, 3072] in {batch}, got float64"),
        (batch(data=PIXELS[1:]), "cifar10", "expected one label for each of 39 images, got 40 labels"),
        (EDM.unlink, "1m", "expected a file, found none at data/edm/1m.npz"),
        (cut(EDM), "1m", "expected an npz file with image and label, got a damaged or foreign file"),
        (generated(images=IMAGES, label=LABELS), "1m", "expected key 'image' in data/edm/1m.npz, got images, label"),
        (generated(image=IMAGES, labels=LABELS), "1m", "expected key 'label' in data/edm/1m.npz, got image, labels"),
        (generated(image=IMAGES[:, :28], label=LABELS), "1m", "of shape (32, 32, 3), as in dataset cifar10, got (28,"),
        (generated(image=IMAGES.transpose(0, 3, 1, 2), label=LABELS), "1m", "got uint8 [1000, 3, 32, 32]"),
        (generated(image=IMAGES.astype(np.float32), label=LABELS), "1m", "expected images as uint8 [N, H, W, C]"),
        (generated(image=IMAGES, label=LABELS.astype(np.float32)), "1m", "expected labels as integers [N], got float"),
        (generated(image=IMAGES, label=LABELS + 1), "1m", "expected labels in [0, 10), the classes of"),
        (generated(image=IMAGES[1:], label=LABELS), "1m", "expected one label for each of 999 images, got 1000"),
        (generated(image=IMAGES[1:], label=LABELS[1:]), "1m", "a count of at most 999, the rows of data/edm/1m.npz"),
        (WEIGHTS.unlink, "margin", "expected a checkpoint, found none at weights.pt"),
        (cut(WEIGHTS), "margin", "expected a whole torch file at weights.pt"),
        (weights(lambda state: state.pop(FIRST)), "margin", f"missing: {FIRST}"),
        (weights(lambda state: state.update(extra=torch.ones(3))), "margin", "unexpected: extra"),
        (lambda: torch.save(network(width=16).state_dict(), WEIGHTS), "margin", f"of another shape: {FIRST}"),
        (lambda: torch.save(network(classes=100).state_dict(), WEIGHTS), "margin", "expected a network of 10 classes"),
        (weights(lambda state: state.update({FIRST: state[FIRST].int()})), "margin", f"kind of number: {FIRST}"),
    ],
)  # fmt: skip
def test_wrong_file_is_told_alone_and_nothing_is_written(
    capsys: Capture, spoil: Callable[[], object], name: str, message: str
) -> None:
    spoil()
    assert paper("--file", f"margin={WEIGHTS}") == 1
    told = capsys.readouterr()
    assert message.format(batch=CIFAR10 / "data_batch_2") in " ".join(told.out.split())
    assert sorted(line.split(":")[0] for line in told.out.splitlines() if ": ok" in line) == sorted(
        {"cifar10", "1m", "margin"} - {name}
    )
    assert told.err == f"Error: expected the files above, got problems with {name}; nothing was run or written\n"
    assert not Path("results").exists()


@pytest.mark.parametrize(("name", "path"), [("1m", EDM), ("margin", WEIGHTS)])
def test_digest_that_is_given_decides(capsys: Capture, name: str, path: Path) -> None:
    right = sha256(path.read_bytes()).hexdigest()
    assert paper("--file", f"margin={WEIGHTS}", "--sha256", f"{name}={right.upper()}") == 0
    capsys.readouterr()
    wrong = "0" * 64
    assert paper("--file", f"margin={WEIGHTS}", "--sha256", f"{name}={wrong}") == 1
    out = " ".join(capsys.readouterr().out.split())
    assert f"expected SHA-256 {wrong}, got {right} at {path}; download the file again" in out


def test_weights_that_are_given_take_the_place_of_the_run_that_margins_are_measured_through() -> None:
    assert paper("--file", f"margin={WEIGHTS}") == 0
    study = load_study("results/paper.yaml")
    assert isinstance(study, Study)
    model = study.settings.scores["margin"].model
    assert (model.run, model.checkpoint, model.architecture.name) == (None, str(WEIGHTS), "mlp")


def test_other_tables_ask_for_the_files_that_they_need(capsys: Capture) -> None:
    assert main(["paper", STUDY, "--reports", "table-9", "figure-7"]) == 1
    err = capsys.readouterr().err
    assert "problems with cifar10, 1m, 10m, margin-foreign, margin-foreign-large;" in err


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--file", "1m"], 2, "expected --file NAME=VALUE, each name once, got 1m"),
        (["--file", "1m=a", "--file", "1m=b"], 2, "expected --file NAME=VALUE, each name once, got 1m=b"),
        (["--file", "margins=a"], 1, 'expected the name of a file, got "margins"; did you mean "margin"? at --file'),
        (["--sha256", "1m=abc"], 2, "expected 64 hexadecimal digits as sha256sum prints them, got abc at --sha256 1m"),
        (["--sha256", f"cifar10={'0' * 64}"], 2, "expected --sha256 of one file that you give, got it with cifar10"),
        (["--sha256", f"margin={'0' * 64}"], 2, "expected --sha256 of one file that you give, got it with margin"),
        (["--reports", "table-3"], 1, 'expected the name of a report, got "table-3"; did you mean'),
        (["--override", "typo.yaml"], 1, 'the name of a run, got "trade"; did you mean "trades"? at runs (typo.yaml)'),
    ],
)
def test_wrong_command_line_is_one_message(capsys: Capture, words: list[str], status: int, message: str) -> None:
    Path("typo.yaml").write_text("runs: {trade: {}}\n")
    assert paper(*words) == status
    told = capsys.readouterr()
    assert message in told.err
    assert told.err.count("\n") == 1
    assert not Path("results").exists()


def test_json_holds_the_files_and_the_plan(capsys: Capture) -> None:
    assert paper("--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert [file["name"] for file in told["files"]] == ["cifar10", "1m", "margin"]
    assert all(not file["problems"] for file in told["files"])
    assert told["plan"]["jobs"]["trainings"] == 20
    assert told["seeds"] == [0, 1]
    EDM.unlink()
    assert paper("--json") == 1
    problems = {file["name"]: file["problems"] for file in json.loads(capsys.readouterr().out)["files"]}
    assert problems["1m"] == ["expected a file, found none at data/edm/1m.npz, named at pools.medium.synthetic.path"]
