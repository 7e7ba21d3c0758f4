"""Trackers: told of each epoch as history.csv has it, after a kill too, without a bit of a training changed."""

import csv
import importlib.util
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from document_blocks import ROOT, blocks_of
from import_paths import import_paths
from small_pool import write_small_pool

from pumalib.errors import ConfigError
from pumalib.study.checks import check_study
from pumalib.study.study import parse_study
from pumalib.trackers.listener import epochs_tracked
from pumalib.trackers.tracker import expect_tracker
from pumalib.training.history import EpochRecord
from pumalib.training.stage import train_run
from tests.trackers.small_training import EPOCHS, task_in

OWN = """
import json
import os
import torch

class Lines:
    def begin(self, run, settings):
        self.path = run.folder / "lines.jsonl"
        self.write("begin", run.name, run.seed, run.study, run.first_epoch, settings["threat"]["epsilon"])

    def log(self, epoch, values):
        torch.rand(3)  # which would move the random numbers of a training
        self.write(epoch, values)
        if os.environ.get("DIES_AT") == str(epoch):
            raise KeyboardInterrupt

    def finish(self):
        self.write("finish")

    def write(self, *what):
        with open(self.path, "a") as file:
            print(json.dumps(what), file=file)

class Failing(Lines):
    def log(self, epoch, values):
        raise RuntimeError("no network")

class WithArguments(Lines):
    def __init__(self, project):
        pass

class Half:
    def begin(self, run, settings):
        pass
"""

_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None,
    reason="the extra tensorboard is not installed; see make test-tensorboard",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Path]:
    """Stand in a folder with a small pool and trackers of a user's own; the log is that of a job."""
    write_small_pool(tmp_path)
    (tmp_path / "own_trackers.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    caplog.set_level(logging.INFO, "pumalib")
    yield tmp_path
    sys.modules.pop("own_trackers", None)


def train(folder: Path, name: str, tracker: str | None, seconds: float = 300) -> Path:
    """Train; return the folder of the run."""
    task = task_in(folder, name, seconds)
    (folder / name).mkdir(exist_ok=True)
    tracked = {"tracker": tracker, "study": "tiny", "name": "run", "seed": 0, "folder": str(folder / name)}
    with epochs_tracked(None if tracker is None else {**tracked, "settings": task.settings.model_dump(mode="json")}):
        train_run(task, "cpu")
    return folder / name


def lines_of(run: Path) -> list[Any]:
    return [json.loads(line) for line in (run / "lines.jsonl").read_text().splitlines()]


def of_history(run: Path) -> list[tuple[int, dict[str, float]]]:
    """Return epoch and numbers of each line of history.csv, without those that were not measured."""
    lines = []
    for line in csv.DictReader(io.StringIO((run / "history.csv").read_text())):
        numbers = {name: float(value) for name, value in line.items() if name not in ("epoch", "split") and value}
        lines.append((int(line["epoch"]), numbers))
    return lines


def outputs_of(run: Path) -> dict[str, bytes]:
    names = ("model.safetensors", "history.csv", "track.h5", "run.yaml")
    return {name: (run / name).read_bytes() for name in names}


def test_a_tracker_is_told_each_line_of_the_history_and_changes_no_byte_of_the_training(folder: Path) -> None:
    untold, told = train(folder, "untold", None), train(folder, "told", "own_trackers:Lines")
    begin, *lines, finish = lines_of(told)
    assert begin == ["begin", "run", 0, "tiny", 1, 0.1]
    assert [(epoch, values) for epoch, values in lines] == of_history(told)
    assert len(lines) == EPOCHS
    assert finish == ["finish"]
    assert outputs_of(told) == outputs_of(untold)


def test_a_training_that_dies_and_goes_on_logs_on_from_the_epoch_that_it_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DIES_AT", "2")
    with pytest.raises(KeyboardInterrupt):
        train(folder, "killed", "own_trackers:Lines", seconds=0)
    monkeypatch.delenv("DIES_AT")
    run = train(folder, "killed", "own_trackers:Lines", seconds=0)
    lines = lines_of(run)
    assert [line[0] for line in lines] == ["begin", 1, 2, "finish", "begin", 2, 3, 4, "finish"]
    assert lines[4][4] == 2  # the first epoch of the second part
    assert [tuple(line) for line in (lines[1], *lines[5:8])] == of_history(run)
    assert outputs_of(run) == outputs_of(train(folder, "untold", None))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("Failing", "RuntimeError: no network"), ("WithArguments", "TypeError: WithArguments.__init__() missing 1")],
)
def test_a_tracker_that_fails_is_told_in_the_log_once_and_the_training_goes_on(
    folder: Path, caplog: pytest.LogCaptureFixture, name: str, reason: str
) -> None:
    run = train(folder, "run", f"own_trackers:{name}")
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert told.startswith(f"tracker own_trackers:{name} is left out from here on: {reason}")
    assert outputs_of(run) == outputs_of(train(folder, "untold", None))


def test_a_tracker_that_is_gone_ends_the_job_before_the_training(folder: Path) -> None:
    with pytest.raises(ConfigError, match="expected a tracker Gone in module own_trackers, got none"):
        train(folder, "run", "own_trackers:Gone")
    assert not list((folder / "run").iterdir())


def test_the_example_of_the_page_writes_its_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = [block.text for block in blocks_of(ROOT / "docs/studies.md") if "class Lines" in block.text]
    (tmp_path / "my_trackers.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    tracked = {"tracker": "my_trackers:Lines", "study": "tiny", "name": "run", "seed": 0, "settings": {}}
    record = EpochRecord(1, 80, 0.5, 0.4, 0.1, 0.2, float("nan"), float("nan"), "train", 0.1, 0)
    with epochs_tracked({**tracked, "folder": str(tmp_path)}):
        logging.getLogger("pumalib.training.train").warning("%s: %s", "run/0", record)
        logging.getLogger("pumalib.training.train").warning("no epoch: %s", "run/0")
    sys.modules.pop("my_trackers")
    (line,) = (tmp_path / "lines.txt").read_text().splitlines()
    assert line.startswith("1 {'images_seen': 80.0, 'loss': 0.5, ")
    assert "clean_accuracy" not in line


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tensorbord", r'expected tensorboard or a class of yours, "<module>:<class>", got "tensorbord" at tracker'),
        ("own_trackers:Line", r"expected a tracker Line in module own_trackers, got none; .*Lines.*, at tracker"),
        ("none_such:Lines", r"expected a tracker none_such:Lines in a module none_such of your own, found no"),
        ("own_trackers:Half", r"expected a class with begin, log, finish, got none of log in own_trackers:Half"),
    ],
)
def test_a_tracker_that_is_not_there_is_refused(folder: Path, name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        expect_tracker(name, "tracker")


def test_without_tensorboard_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'found none, at tracker; pip install "pumalib\[tensorboard\]"'):
        expect_tracker("tensorboard", "tracker")


def test_a_study_with_a_tracker_that_is_not_there_is_refused(study: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r'got "wandb" at tracker \(mine.yaml\)'):
        check_study(parse_study({**study, "tracker": "wandb"}), "mine.yaml")


JOB = """
import sys
from pathlib import Path
from types import SimpleNamespace
from snakemake.iocontainers import OutputFiles, Params
from pumalib.files.provenance import code_fingerprint
from pumalib.jobs.frame import job
from pumalib.training.job import train_on_devices
from small_training import task_in

task = task_in(Path.cwd(), "results/tiny/models/run/seed0")
settings = task.settings.model_copy(
    update={"training": task.settings.training.model_copy(update={"devices": int(sys.argv[1])})}
)
code = code_fingerprint(__file__, "pumalib.training.methods.trades", "pumalib.models.mlp")
of_study = {"errors": "results/tiny/logs/errors.txt", "device": "cpu", "tracker": sys.argv[2]}
snakemake = SimpleNamespace(
    log=["results/tiny/logs/models/run/seed0.log"],
    params=Params(fromdict={"code": code, "settings": settings.model_dump(), "threads": 1}),
    output=OutputFiles(fromdict={"history": str(task.paths.history)}),
    wildcards=SimpleNamespace(run="run", seed="0"),
    config={"job": of_study},
)
with job(snakemake) as frame:
    train_on_devices(frame, type(task)(settings, task.paths, "run", 0))
"""


def run_job(folder: Path, devices: int, tracker: str) -> Path:
    (folder / "job.py").write_text(JOB)
    (folder / "results/tiny/models/run/seed0").mkdir(parents=True, exist_ok=True)
    path = import_paths(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": path, "PUMA_CHECK_CLOSURE": "1"}
    command = [sys.executable, "job.py", str(devices), tracker]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "results/tiny/models/run/seed0"


@pytest.mark.parametrize("devices", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_job_of_the_workflow_tells_its_tracker_once_on_however_many_devices(folder: Path, devices: int) -> None:
    run = run_job(folder, devices, "own_trackers:Lines")
    begin, *lines, finish = lines_of(run)
    assert begin == ["begin", "run", 0, "tiny", 1, 0.1]
    assert [(epoch, values) for epoch, values in lines] == of_history(run)
    assert finish == ["finish"]


READ = """
import json
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator("{folder}/tensorboard").Reload()
scalars = {{tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}}
print(json.dumps({{"scalars": scalars, "tensors": events.Tags()["tensors"]}}))
"""


def events_of(run: Path) -> dict[str, dict[int, float]]:
    """Return what TensorBoard reads: numbers by tag and epoch, each once."""
    command = [sys.executable, "-W", "ignore", "-c", READ.format(folder=run)]
    environment = {**os.environ, "PYTHONPATH": import_paths()}
    told = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert told["tensors"] == ["settings/text_summary"]
    assert all(len(dict(pairs)) == len(pairs) for pairs in told["scalars"].values())
    return {tag: dict(pairs) for tag, pairs in told["scalars"].items()}


def expect_events_of_history(run: Path) -> None:
    found = events_of(run)
    for epoch, values in of_history(run):
        assert {tag: found[tag].pop(epoch) for tag in list(found) if epoch in found[tag]} == pytest.approx(values)
    assert not any(found.values())


@_tensorboard
@pytest.mark.filterwarnings("ignore")
def test_tensorboard_has_the_history_after_a_kill_and_after_a_training_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pumalib.trackers.tensorboard import TensorBoard

    def dying(self: TensorBoard, epoch: int, values: Mapping[str, float]) -> None:
        logs(self, epoch, values)
        if epoch == 3:
            raise KeyboardInterrupt

    logs = TensorBoard.log
    with monkeypatch.context() as patched:
        patched.setattr(TensorBoard, "log", dying)
        with pytest.raises(KeyboardInterrupt):
            train(folder, "killed", "tensorboard", seconds=0)
    run = train(folder, "killed", "tensorboard", seconds=0)
    assert len(list((run / "tensorboard").iterdir())) == 2
    expect_events_of_history(run)
    (folder / "killed.kept").rename(folder / "other.kept")
    run = train(folder, "killed", "tensorboard", seconds=0)
    assert len(list((run / "tensorboard").iterdir())) == 1
    expect_events_of_history(run)


@_tensorboard
def test_a_job_writes_event_files(folder: Path) -> None:
    expect_events_of_history(run_job(folder, 1, "tensorboard"))
