"""Jobs that die or are stopped, on files: what they leave, and what they go on to."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from small_pool import write_small_pool

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import ResourceError
from pumalib.jobs.states import StatePlace
from pumalib.models.settings import ArchitectureSettings
from pumalib.scores.settings import ScoreSettings
from pumalib.scores.stage import score_shard
from pumalib.tracks.settings import TrackSettings
from pumalib.training.kept_epochs import kept_epochs
from pumalib.training.run_settings import RunSettings
from pumalib.training.settings import read_training
from pumalib.training.stage import train_run
from pumalib.training.task import RunPaths, TrainingTask

ROOT = Path(__file__).parents[2]
NETWORK = """
import os
import signal
import torch
from torch import nn

passes = 0
end_at = -1
how = None

class Net(nn.Module):
    def __init__(self, image_shape, num_classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, num_classes))

    def forward(self, images):
        global passes
        passes += 1
        if passes == end_at and how is None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        if passes == end_at:
            os.kill(os.getpid(), how)
        return self.layers(images)
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a dataset, a pool of 40 rows, a selection of all, and a module of a network."""
    torch.set_num_threads(1)  # as the jobs beside: their number changes bits
    write_small_pool(tmp_path)
    (tmp_path / "ending.py").write_text(NETWORK)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "ending", raising=False)
    return tmp_path


@pytest.fixture
def ending(files: Path) -> ModuleType:
    """Return the module of the network, in which a test says when it ends."""
    return __import__("ending")


def train_in(folder: Path, name: str, state: StatePlace | None = None, **changes: Any) -> Path:
    recipe: dict[str, Any] = {
        "epochs": 2,
        "samples_per_epoch": 64,
        "batch_size": 16,
        "attack_steps": 2,
        "crop_padding": 0,
        **changes,
    }
    output = folder / name
    settings = RunSettings(
        architecture=ArchitectureSettings(name="ending:Net"),
        training=read_training(recipe),
        threat=ThreatSettings(epsilon=0.1),
        track=TrackSettings.model_validate({"loss": {}, "visits": {}}),
    )
    paths = RunPaths(
        dataset=folder / "dataset.h5",
        pool=folder / "pool.h5",
        selection=folder / "selection.h5",
        model=output / "model.safetensors",
        history=output / "history.csv",
        track=output / "track.h5",
        settings=output / "run.yaml",
        kept=tuple(output / f"epoch{epoch}.safetensors" for epoch in kept_epochs(settings.training)),
    )
    train_run(TrainingTask(settings, paths, name="run", seed=0, state_place=state), "cpu")
    return output


def score_in(
    folder: Path, name: str, model: Path, method: str, state: StatePlace | None = None, **changes: Any
) -> Path:
    values = {"method": method, "model": "run", "shards": 2, "batch_size": 4, "max_iterations": 20, **changes}
    settings: Any = TypeAdapter(ScoreSettings).validate_python(values)
    output = folder / name / "shard.h5"
    score_shard(
        settings,
        folder / "pool.h5",
        model,
        output,
        shard=settings.shards - 1,
        threat_norm="linf",
        device="cpu",
        architecture=ArchitectureSettings(name="ending:Net"),
        state_place=state,
    )
    return output


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def die(ending: ModuleType, after: int, work: Callable[[], Path]) -> None:
    """Let some work die at a forward pass."""
    ending.passes, ending.end_at = 0, after
    message = (
        r"expected memory enough on cpu, ran out of it \(CUDA out of memory\); lower (device_images_gib|batch_size) "
    )
    with pytest.raises(ResourceError, match=message):
        work()
    ending.end_at = -1


def test_run_that_dies_leaves_no_output_and_its_state_goes_with_the_last_one(files: Path, ending: ModuleType) -> None:
    place = StatePlace(files / "work/run.state", 0)
    whole = train_in(files, "whole")
    die(ending, 30, lambda: train_in(files, "resumed", place))
    assert not (files / "resumed").exists()
    assert place.path.is_file()
    ending.passes = 0
    assert contents(train_in(files, "resumed", place)) == contents(whole)
    in_second_life = ending.passes
    train_in(files, "anew", StatePlace(files / "work/anew.state", 0))
    assert in_second_life < ending.passes - in_second_life - 10
    assert list((files / "work").glob("*.state")) == []


def test_training_from_the_same_inputs_takes_its_result_back_without_a_pass(files: Path, ending: ModuleType) -> None:
    place = StatePlace(files / "work/run.state", 0)
    whole = contents(train_in(files, "run", place))
    for path in (files / "run").iterdir():
        path.unlink()
    ending.passes = 0
    assert contents(train_in(files, "run", place)) == whole
    assert ending.passes == 0
    assert contents(train_in(files, "run", place, learning_rate=0.05)) != whole
    assert ending.passes > 0


def test_kept_epochs_outlive_every_death_and_are_taken_back_together(files: Path, ending: ModuleType) -> None:
    place, changes = StatePlace(files / "work/run.state", 0), {"epochs": 4, "keep_every": 1}
    whole = contents(train_in(files, "whole", **changes))
    assert {f"epoch{epoch}.safetensors" for epoch in (1, 2, 3, 4)} < set(whole)
    for _ in range(3):
        die(ending, 35, lambda: train_in(files, "resumed", place, **changes))
        assert not (files / "resumed").exists()
    assert contents(train_in(files, "resumed", place, **changes)) == whole
    for path in (files / "resumed").iterdir():
        path.unlink()
    ending.passes = 0
    assert contents(train_in(files, "resumed", place, **changes)) == whole
    assert ending.passes == 0
    fewer = train_in(files, "resumed", place, **{**changes, "keep_every": 2})
    assert ending.passes > 0
    assert (fewer / "epoch2.safetensors").read_bytes() == whole["epoch2.safetensors"]


@pytest.mark.parametrize("change", [{"learning_rate": 0.05}, {"epochs": 3}])
def test_state_of_other_settings_is_not_used(files: Path, ending: ModuleType, change: dict[str, Any]) -> None:
    place = StatePlace(files / "work/run.state", 0)
    die(ending, 30, lambda: train_in(files, "resumed", place))
    assert contents(train_in(files, "resumed", place, **change)) == contents(train_in(files, "whole", **change))


@pytest.mark.parametrize("method", ["deepfool", "fast_margin"])
def test_shard_that_dies_again_and_again_ends_with_the_same_bytes(files: Path, ending: ModuleType, method: str) -> None:
    place = StatePlace(files / "work/shard.state", 0)
    model = train_in(files, "model") / "model.safetensors"
    whole = score_in(files, "whole", model, method)
    for _ in range(2):
        die(ending, 20, lambda: score_in(files, "resumed", model, method, place))
        assert not (files / "resumed").exists()
    assert score_in(files, "resumed", model, method, place).read_bytes() == whole.read_bytes()
    assert list((files / "work").glob("*.state")) == []


EXTRAPOLATED = {"extrapolate": {"measured": 0.5, "neighbours": 3, "least_agreement": -1}, "shards": 1}


@pytest.mark.parametrize("before_the_end", [1, 2, 4, 50])
def test_an_extrapolated_score_that_dies_ends_with_the_same_bytes(
    files: Path, ending: ModuleType, before_the_end: int
) -> None:
    """Late deaths come while rows are looked at alone, the early one while others are measured."""
    place = StatePlace(files / "work/shard.state", 0)
    model = train_in(files, "model") / "model.safetensors"
    ending.passes = 0
    whole = score_in(files, "whole", model, "deepfool", **EXTRAPOLATED)
    passes = ending.passes
    die(ending, passes - before_the_end, lambda: score_in(files, "resumed", model, "deepfool", place, **EXTRAPOLATED))
    ending.passes = 0
    again = score_in(files, "resumed", model, "deepfool", place, **EXTRAPOLATED)
    assert ending.passes < passes
    assert again.read_bytes() == whole.read_bytes()


JOB = """
import ending, signal, sys
from pathlib import Path
from pumalib.jobs.frame import Frame, framed
from pumalib.jobs.states import StatePlace
from test_stopped_jobs import train_in
ending.end_at, ending.how = int(sys.argv[1]), signal.SIGTERM
log, errors = "results/s/logs/models/run/seed0.log", "results/s/logs/errors.txt"
with framed(Frame(log, errors, {}, threads=1, save_every_seconds=1000)) as frame:
    train_in(Path.cwd(), "out", StatePlace.of_job(frame))
"""


def run_job(folder: Path, end_at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", JOB, str(end_at)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}:{ROOT / 'tests/jobs'}:{folder}"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_job_that_gets_sigterm_saves_its_state_at_the_next_step_and_says_so(files: Path) -> None:
    stopped = run_job(files, end_at=30)
    message = (
        "stopped by SIGTERM, the state is saved at results/s/work/models/run/seed0.state; run the same command again"
    )
    assert stopped.returncode == 128 + signal.SIGTERM
    assert stopped.stderr.startswith(f"Error: {message}")
    assert "Traceback" not in stopped.stderr
    assert not (files / "out").exists()
    resumed = run_job(files, end_at=-1)
    assert resumed.returncode == 0, resumed.stderr
    assert "go on from the state at" in (files / "results/s/logs/models/run/seed0.log").read_text()
    assert contents(files / "out") == contents(train_in(files, "whole"))


def test_job_that_keeps_no_state_ends_at_once(tmp_path: Path) -> None:
    body = "import os, signal, time\n    os.kill(os.getpid(), signal.SIGTERM)\n    time.sleep(100)"
    head = "from pumalib.jobs.frame import Frame, framed"
    code = f"{head}\nwith framed(Frame('logs/a.log', 'logs/errors.txt', {{}})):\n    {body}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    stopped = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert stopped.returncode == 128 + signal.SIGTERM
    assert stopped.stderr == "Error: stopped by SIGTERM; run the same command again\n  log: logs/a.log\n\n"
