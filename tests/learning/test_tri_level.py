"""Tri-level learning on a toy problem: what it gains, where it stays, and what a killed job goes on to."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import DataError
from pumalib.evaluation.evaluate import evaluate
from pumalib.jobs.states import StateFile, StatePlace
from pumalib.learning.methods.tri_level import learn, robust_loss
from pumalib.learning.population import Population, draw_batches
from pumalib.models.build import build_model
from pumalib.models.inputs import to_model_input
from pumalib.models.settings import ArchitectureSettings
from pumalib.training.settings import NaturalSettings
from pumalib.training.train import train
from tests.learning.conftest import EPSILON, StopError, stop_at, toy_rows

WIDER = ArchitectureSettings(name="mlp", width=32)


def robust_accuracy_of_natural_training(images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Train another network by the study's own recipe, and attack it on rows it has not seen."""
    model = build_model(ArchitectureSettings(name="mlp", width=16), (4, 4, 1), 2, seed=77)
    recipe = NaturalSettings(epochs=10, samples_per_epoch=640, batch_size=32, crop_padding=0, horizontal_flip=False)
    threat = ThreatSettings(epsilon=EPSILON)
    trained = train(model, images, labels, settings=recipe, threat=threat).model
    test = toy_rows(200, 2)
    table = evaluate(trained, to_model_input(torch.from_numpy(test.images)), test.labels, threat=threat)
    return table.clean_accuracy, table.robust_accuracy


def test_natural_training_on_learned_images_is_more_robust_than_on_the_start(settings, inputs, tmp_path):
    change = {"architectures": (WIDER,), "steps": 200, "unrolled_steps": 5, "networks": 5, "max_age": 100}
    longer = settings.model_copy(update={**change, "step_size": 0.05, "probe_every": 50})
    learned = learn(longer, replace(inputs, progress=tmp_path / "progress.csv"))
    progress = pd.read_csv(tmp_path / "progress.csv")
    assert progress.step.tolist() == [0, 50, 100, 150, 200]
    assert progress.loss[4] < 0.9 * progress.loss[1]
    assert progress.robust_accuracy[4] > progress.robust_accuracy[0] + 0.3
    assert set(progress.split) == {"validation"}
    before = robust_accuracy_of_natural_training(inputs.images, inputs.labels)
    after = robust_accuracy_of_natural_training(learned, inputs.labels)
    assert after[1] > before[1] + 0.3, (before, after)


@pytest.mark.parametrize("update", ["adam", "sign"])
@pytest.mark.parametrize("bound", [None, 0.05, 0.0])
def test_learned_images_stay_within_the_bound(settings, inputs, update, bound):
    learned = learn(settings.model_copy(update={"update": update, "bound": bound}), inputs)
    assert learned.dtype == np.uint8
    assert learned.shape == inputs.images.shape
    distance = np.abs(learned.astype(int) - inputs.images).max() / 255
    assert distance > 0.06 if bound is None else distance <= bound
    assert bound == 0 or distance > 0


@pytest.mark.parametrize("change", [{"unrolled_steps": 0}, {"learning_rate": 0.0}])
@pytest.mark.parametrize("update", ["adam", "sign"])
def test_nothing_changes_where_networks_do_not_train(settings, inputs, change, update):
    learned = learn(settings.model_copy(update={**change, "update": update}), inputs)
    np.testing.assert_array_equal(learned, inputs.images)


def test_labels_and_seed_decide_the_images_and_saving_does_not(settings, inputs, tmp_path):
    learned = learn(settings, inputs)
    state = StateFile(StatePlace(tmp_path / "state", 0), "key")
    np.testing.assert_array_equal(
        learned, learn(settings, replace(inputs, state_file=state, progress=tmp_path / "p.csv"))
    )
    assert (learned != learn(settings, replace(inputs, seed=1))).any()


@pytest.mark.parametrize("update", ["adam", "sign"])
@pytest.mark.parametrize("last", [3, 11, 20])
def test_stopped_learning_goes_on_to_the_same_bits(settings, inputs, tmp_path, update, last):
    settings = settings.model_copy(update={"update": update})
    whole = learn(settings, replace(inputs, progress=tmp_path / "whole.csv"))
    kept = replace(
        inputs, state_file=StateFile(StatePlace(tmp_path / "state", 0), "key"), progress=tmp_path / "kept.csv"
    )
    with pytest.raises(StopError):
        learn(settings, kept, stop_at(last))
    steps: list[int] = []
    np.testing.assert_array_equal(learn(settings, kept, steps.append), whole)
    assert steps[0] == last + 1
    columns = ["step", "loss", "clean_accuracy", "robust_accuracy", "split"]
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "whole.csv")[columns], pd.read_csv(tmp_path / "kept.csv")[columns]
    )


KILLED = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
from pumalib.learning.methods.tri_level import learn
from pumalib.learning.settings import TriLevelSettings
from pumalib.jobs.states import StateFile, StatePlace
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.learning.inputs import LearningInputs
import numpy as np, torch

torch.set_num_threads(int(sys.argv[3]))
data = np.load(sys.argv[2])
inputs = LearningInputs(data["images"], data["labels"], 2, ThreatSettings(epsilon=0.1), validation=None)
kept = replace(inputs, state_file=StateFile(StatePlace(Path(sys.argv[1]), 0), "key"))
settings = TriLevelSettings.model_validate_json(sys.argv[4])
learn(settings, kept, lambda step: os.kill(os.getpid(), signal.SIGKILL) if step == 13 else None)
"""


def test_killed_job_goes_on_to_the_same_bits(settings, inputs, tmp_path):
    inputs = replace(inputs, validation=None)
    np.savez(tmp_path / "rows.npz", images=inputs.images, labels=inputs.labels)
    arguments = [str(tmp_path / "state"), str(tmp_path / "rows.npz"), str(torch.get_num_threads())]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments, settings.model_dump_json()],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    state = StateFile(StatePlace(tmp_path / "state", 0), "key")
    steps: list[int] = []
    resumed = learn(settings, replace(inputs, state_file=state), steps.append)
    assert steps == list(range(14, 25))
    np.testing.assert_array_equal(resumed, learn(settings, inputs))


@pytest.mark.parametrize("harm", ["key", "bytes"])
def test_state_that_does_not_fit_is_not_used(settings, inputs, tmp_path, harm, caplog):
    path = tmp_path / "state"
    with pytest.raises(StopError):
        learn(settings, replace(inputs, state_file=StateFile(StatePlace(path, 0), "key")), stop_at(10))
    if harm == "bytes":
        path.write_bytes(path.read_bytes()[:100])
    steps: list[int] = []
    state = StateFile(StatePlace(path, 0), "other" if harm == "key" else "key")
    learned = learn(settings, replace(inputs, state_file=state), steps.append)
    assert steps[0] == 1
    assert "start anew: " in caplog.text
    np.testing.assert_array_equal(learned, learn(settings, inputs))


def test_ages_are_staggered_and_old_networks_start_anew(settings, inputs):
    population = Population(settings, (4, 4, 1), 2, 0, torch.device("cpu"))
    images = torch.from_numpy(inputs.images).permute(0, 3, 1, 2).float() / 255
    population.fill(images, torch.from_numpy(inputs.labels))
    assert [member.age for member in population.members] == [0, 4, 8]
    old = population.members[2]
    population.keep(2, old.training)
    assert [member.age for member in population.members] == [0, 4, 10]
    population.keep(2, old.training)
    renewed = population.members[2]
    assert (renewed.age, renewed.generation) == (0, 1)
    assert all((velocity == 0).all() for velocity in renewed.training.velocity.values())
    drawn = {population.newborn(0, generation).architecture for generation in range(20)}
    assert drawn == {0, 1}


def test_batches_go_through_the_rows_pass_after_pass():
    drawn = draw_batches(0, "rows", 3, 10, 4, 5)
    assert drawn.shape == (5, 4)
    assert sorted(drawn.flatten()[:10]) == sorted(drawn.flatten()[10:]) == list(range(10))
    assert draw_batches(0, "rows", 3, 10, 4, 0).shape == (0, 4)


def test_robust_loss_of_a_linear_model_is_that_at_the_nearest_corner():
    """Two classes and a linear model: the worst perturbation is eps sign(w), where it does not leave [0, 1]."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).double()
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    images = 0.2 + 0.6 * torch.rand(20, 1, 4, 4, dtype=torch.float64)
    labels = torch.arange(20) % 2
    found = robust_loss(model, weights, images, labels, ThreatSettings(epsilon=0.1), 20, torch.Generator())
    direction = (weights["1.weight"][1 - labels] - weights["1.weight"][labels]).sign()
    worst = images + 0.1 * direction.reshape(images.shape)
    torch.testing.assert_close(found, nn.functional.cross_entropy(model(worst), labels).detach())


def test_network_that_cannot_be_unrolled_is_refused(settings, inputs):
    rows = np.repeat(np.repeat(inputs.images, 2, 1), 2, 2)
    unfit = settings.model_copy(update={"architectures": (ArchitectureSettings(name="convnet"),)})
    with pytest.raises(DataError, match="expected a network whose training can be unrolled, got convnet"):
        learn(unfit, replace(inputs, images=rows, validation=None))


def test_outer_loss_that_is_not_finite_is_an_error(settings, inputs):
    wild = settings.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(DataError, match=r"expected a finite outer loss and gradient, got a loss of (nan|inf)"):
        learn(wild, inputs)


def test_progress_is_measured_on_rows_of_the_start_where_there_are_no_others(settings, inputs, tmp_path):
    path = Path(tmp_path / "progress.csv")
    learn(settings, replace(inputs, validation=None, progress=path))
    assert set(pd.read_csv(path).split) == {"train"}
