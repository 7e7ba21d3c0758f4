"""An evaluation that dies goes on where it was, to the same bytes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from pumalib.attacks.inputs import images_a_batch
from pumalib.attacks.settings import AttackSettings, CwPgdSettings, MinimumNormSettings, SquareSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.datasets import write_images
from pumalib.data.images import LabelledImages
from pumalib.evaluation.evaluate import evaluate_blocks
from pumalib.evaluation.stage import attack_model
from pumalib.files.artifacts import create_artifact
from pumalib.jobs.states import StatePlace
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import save_trained

ROOT = Path(__file__).parents[2]
SHAPE = (8, 8, 1)
ARCHITECTURE = ArchitectureSettings(name="convnet", width=4)
ATTACKS: dict[str, AttackSettings] = {
    "cw": CwPgdSettings(steps=5, restarts=2, batch_size=7),
    "shortest": MinimumNormSettings(max_iterations=5, batch_size=7),
    "square": SquareSettings(queries=30, batch_size=7),
    "points": CwPgdSettings(steps=5, batch_size=7, keep_points=True),
}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Write a model, and a dataset of fifty images."""
    torch.set_num_threads(1)
    save_trained(build_model(ARCHITECTURE, SHAPE, 3), tmp_path / "model", ARCHITECTURE, SHAPE, ("a", "b", "c"))
    images = np.random.default_rng(0).integers(0, 256, (50, *SHAPE), np.uint8)
    with create_artifact(tmp_path / "data.h5", "dataset") as file:
        file.attrs["class_names"] = ["a", "b", "c"]
        write_images(file.create_group("test"), LabelledImages(images, np.arange(50) % 3))
    return tmp_path


def attack(study: Path, settings: AttackSettings, output: str, place: StatePlace | None = None) -> bytes:
    attack_model(
        settings,
        ThreatSettings(epsilon=0.1),
        dataset=study / "data.h5",
        model_path=study / "model",
        output=study / output,
        seed=3,
        device="cpu",
        state_place=place,
    )
    return (study / output).read_bytes()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_evaluation_that_dies_after_each_batch_ends_with_the_same_bytes(
    study: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = attack(study, ATTACKS[name], "whole/a.h5")
    place = StatePlace(study / "work/attack.state", 0)
    begun = []

    def dying(*arguments: object, **options: object) -> object:
        blocks = evaluate_blocks(*arguments, **options)  # type: ignore[arg-type]
        begun.append(arguments[-1])
        yield next(blocks)
        blocks.close()
        raise KeyboardInterrupt

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr("pumalib.evaluation.stage.evaluate_blocks", dying)
            with pytest.raises(KeyboardInterrupt):
                attack(study, ATTACKS[name], "resumed/a.h5", place)
        assert not (study / "resumed/a.h5").exists()
    assert begun == [0, 7, 14]
    assert attack(study, ATTACKS[name], "resumed/a.h5", place) == whole
    assert not place.path.exists()


@pytest.mark.parametrize(
    ("batch_size", "shape", "size"),
    [
        (None, (1, 8, 8), 500),
        (None, (3, 32, 32), 500),
        (None, (3, 64, 64), 125),
        (None, (3, 224, 224), 10),
        (None, (3, 2048, 2048), 1),
        (7, (3, 224, 224), 7),
        (None, (64,), 500),
    ],
)
def test_batches_follow_the_size_of_the_images(batch_size: int | None, shape: tuple[int, ...], size: int) -> None:
    assert images_a_batch(batch_size, shape) == size


JOB = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
import torch
torch.set_num_threads(1)
from pumalib.jobs.states import StatePlace
from test_resumed_evaluation import ATTACKS, attack
attack(Path(sys.argv[1]), ATTACKS[sys.argv[2]], "killed/a.h5", StatePlace(Path(sys.argv[1]) / "work/attack.state", 0))
"""


@pytest.mark.slow
def test_thirty_random_kills_end_with_the_same_bytes(study: Path) -> None:
    """SIGKILL at seeded random times; each evaluation runs until it ends by itself."""
    chance, num_kills = random.Random(0), 0
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    while num_kills < 30:
        for name, settings in ATTACKS.items():
            whole = attack(study, settings, f"whole-{name}/a.h5")
            (study / "killed/a.h5").unlink(missing_ok=True)
            started, code = time.monotonic(), -1
            while code != 0:
                command = [sys.executable, "-c", JOB, str(study), name, str(Path(__file__).parent)]
                with subprocess.Popen(command, env=environment, cwd=study) as process:
                    try:
                        code = process.wait(timeout=chance.uniform(1.0, 9.0))
                    except subprocess.TimeoutExpired:
                        process.send_signal(signal.SIGKILL)
                        num_kills, code = num_kills + 1, process.wait()
                assert time.monotonic() - started < 600
            assert (study / "killed/a.h5").read_bytes() == whole
