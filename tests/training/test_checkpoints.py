"""Weights that are kept along a training, and the best epoch: held to shorter trainings and to histories by hand."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.images import LabelledImages
from pumalib.errors import ConfigError, DataError
from pumalib.training.checkpoints import Checkpoints
from pumalib.training.history import EpochRecord, make_probe
from pumalib.training.kept_epochs import best_epoch, kept_epochs, takes_best
from pumalib.training.settings import NaturalSettings, TradesSettings, keys_of_other_methods, read_training
from pumalib.training.train import TrainingResult, TrainOptions, train

THREAT = ThreatSettings(epsilon=0.1)


def labelled(seed: int, count: int = 60) -> LabelledImages:
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    images = 30 + 60 * labels[:, None, None, None] + generator.integers(90, size=(count, 4, 4, 1))
    return LabelledImages(images.astype(np.uint8), labels.astype(np.int64))


def fit(**changes: Any) -> TrainingResult:
    """Train; with a constant rate and no warm-up an epoch does not depend on how many follow."""
    recipe = {"epochs": 5, "batch_size": 20, "learning_rate": 0.5, "schedule": "constant", "averaging_warmup": 0.0}
    settings = TradesSettings(**{**recipe, "averaging": 0.9, "attack_steps": 2, **changes})
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    options = TrainOptions(validation=labelled(1))
    rows = labelled(0)
    return train(model, rows.images, rows.labels, settings=settings, threat=THREAT, options=options)


def assert_equal(weights: Any, others: Any) -> None:
    assert list(weights) == list(others)
    for name, weight in weights.items():
        assert torch.equal(weight, others[name]), name


@pytest.mark.parametrize(
    ("epochs", "keep_every", "kept"),
    [(6, 2, (2, 4, 6)), (7, 3, (3, 6, 7)), (5, 5, (5,)), (3, 1, (1, 2, 3)), (400, 150, (150, 300, 400)), (5, None, ())],
)
def test_every_so_many_epochs_and_the_last_are_kept(epochs: int, keep_every: int, kept: tuple[int, ...]) -> None:
    assert kept_epochs(TradesSettings(epochs=epochs, keep_every=keep_every)) == kept


@pytest.mark.parametrize(
    ("accuracies", "best"),
    [
        ({1: 0.2, 2: 0.5, 3: 0.4}, 2),
        ({1: 0.2, 2: 0.5, 3: 0.5}, 2),
        ({1: math.nan, 2: 0.1, 3: math.nan, 4: 0.1}, 2),
        ({4: 0.0}, 4),
        ({10: 0.3, 5: 0.3}, 5),
    ],
)
def test_the_best_epoch_is_the_most_robust_and_the_earliest_of_equals(accuracies: Any, best: int) -> None:
    assert best_epoch(accuracies) == best


def test_without_a_measured_epoch_there_is_no_best() -> None:
    with pytest.raises(ValueError, match="expected an epoch with a robust accuracy, got none"):
        best_epoch({1: math.nan})


def record(epoch: int, robust: float) -> EpochRecord:
    return EpochRecord(epoch, 10 * epoch, 1.0, 1.0, 0.0, 0.1, 0.9, robust, "validation", 0.1, 0)


@pytest.mark.parametrize("stops_after", range(7))
def test_weights_of_the_best_epoch_of_a_history_are_held_whenever_the_state_was_taken(stops_after: int) -> None:
    """By hand: 0.4 after epoch 3 is the first highest value; epoch 5 equals it, epochs 1 and 6 were not measured."""
    robust = [math.nan, 0.3, 0.4, 0.2, 0.4, math.nan]
    settings = TradesSettings(epochs=6, keep_every=4, checkpoint="best")
    checkpoints, records = Checkpoints(settings), []
    for epoch, accuracy in enumerate(robust, 1):
        if epoch == stops_after + 1:
            state = checkpoints.state_dict()
            checkpoints = Checkpoints(settings)
            checkpoints.load_state_dict(state)
        model = nn.Linear(1, 1)
        nn.init.constant_(model.weight, epoch)
        records.append(record(epoch, accuracy))
        checkpoints.end_epoch(records, model)
    assert checkpoints.best is not None
    assert checkpoints.best.epoch == 3
    assert checkpoints.best.weights["weight"].item() == 3
    assert {epoch: weights["weight"].item() for epoch, weights in checkpoints.kept.items()} == {4: 4, 6: 6}


def test_weights_are_copies_that_later_steps_leave_alone() -> None:
    model, checkpoints = nn.Linear(1, 1), Checkpoints(TradesSettings(epochs=2, keep_every=1))
    nn.init.constant_(model.weight, 1.0)
    checkpoints.end_epoch([record(1, 0.1)], model)
    nn.init.constant_(model.weight, 2.0)
    assert checkpoints.kept[1]["weight"].item() == 1


def test_what_is_kept_after_an_epoch_is_the_model_of_a_training_that_ends_there() -> None:
    whole = fit(keep_every=2)
    assert list(whole.kept) == [2, 4, 5]
    for epoch, weights in whole.kept.items():
        assert_equal(weights, fit(epochs=epoch).model.state_dict())
    assert whole.epoch == 5


def test_keeping_epochs_changes_no_bit_of_the_model_and_its_history() -> None:
    plain, keeping = fit(), fit(keep_every=1)
    assert_equal(plain.model.state_dict(), keeping.model.state_dict())
    assert plain.history.equals(keeping.history)
    assert plain.kept == {}


def test_the_best_model_has_the_weights_of_the_epoch_that_the_history_is_highest_at() -> None:
    """At a rate this high robust accuracy goes up and down; measured anew, the model is as robust as at its best."""
    changes = {"epochs": 6, "learning_rate": 4.0, "averaging": 0.0, "keep_every": 1}
    last, best = fit(**changes), fit(**changes, checkpoint="best")
    assert best.history.equals(last.history)
    robust = best.history.set_index("epoch").robust_accuracy
    assert robust.max() > robust.iloc[-1]
    assert best.epoch == robust.idxmax() < 6  # pandas: the first of the highest
    assert_equal(best.model.state_dict(), last.kept[best.epoch])
    probe = make_probe(labelled(1), 500, THREAT, "validation", torch.device("cpu"))
    assert probe.measure(best.model)[1] == robust.max()


def test_the_best_of_measured_epochs_is_taken() -> None:
    changes = {"epochs": 6, "learning_rate": 4.0, "averaging": 0.0, "checkpoint": "best"}
    assert fit(**changes, history_every=4).epoch in (4, 6)


def test_the_best_epoch_is_not_chosen_on_rows_that_are_trained_on() -> None:
    rows, settings = labelled(0), TradesSettings(epochs=2, checkpoint="best")
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(DataError, match=r"expected validation images with checkpoint: best, .* got none; give some"):
        train(model, rows.images, rows.labels, settings=settings, threat=THREAT)


def test_natural_training_takes_the_last_epoch_and_drops_an_inherited_choice() -> None:
    with pytest.raises(ConfigError, match="expected checkpoint only with method pgd_at or trades, got method natural"):
        NaturalSettings(checkpoint="best")
    assert "checkpoint" in keys_of_other_methods("natural")
    assert not takes_best(NaturalSettings())
    assert takes_best(read_training({"method": "pgd_at", "checkpoint": "best"}))


def test_tied_weights_and_buffers_are_kept() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 3)
            self.second = nn.Linear(3, 3)
            self.second.weight = self.first.weight
            self.register_buffer("scale", torch.tensor(2.0))

        def forward(self, images: Tensor) -> Tensor:
            logits: Tensor = self.second(self.first(images)) * self.scale
            return logits

    checkpoints = Checkpoints(TradesSettings(epochs=1, keep_every=1))
    model = Tied()
    checkpoints.end_epoch([replace(record(1, 0.1), split="train")], model)
    assert_equal(checkpoints.kept[1], model.state_dict())
