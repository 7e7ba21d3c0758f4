"""A training that dies anywhere, and goes on: the same bits as one that was never stopped."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.images import LabelledImages
from pumalib.errors import DataError
from pumalib.jobs.states import NO_STATE, StateFile, StatePlace
from pumalib.tracks.settings import TrackSettings
from pumalib.training.online.settings import CatEpsilon, IaatEpsilon, OnlineMarginEpsilon
from pumalib.training.recipe import Execution, Recipe
from pumalib.training.rows import TrainingRows
from pumalib.training.settings import read_training
from pumalib.training.train import TrainingResult, train_on_rows

CASES: dict[str, dict[str, Any]] = {
    "trades": {"method": "trades", "schedule_unit": "step"},
    "pgd_at, iaat": {"method": "pgd_at", "online": IaatEpsilon(policy="iaat", warmup_epochs=1)},
    "pgd_at, cat": {"method": "pgd_at", "online": CatEpsilon(policy="cat")},
    "trades, online margin": {
        "online": OnlineMarginEpsilon(policy="online_margin", prune_above=0.05),
        "averaging": 0.0,
    },
    "trades, kept epochs and the best": {"keep_every": 1, "checkpoint": "best", "learning_rate": 2.0},
    "natural": {"method": "natural", "attack_steps": None, "schedule": "constant"},
    "rows left out of epochs": {"schedule_unit": "step", "dynamic_pruning": {"until": 1.0}},
}
TRACK = {"loss": {"augmented": True}, "correct": {"weights": "averaged", "inputs": "clean"}, "visits": {}}


class DiedError(Exception):
    """Raised where a test lets a training die."""


class Net(nn.Module):
    """A network with everything that has a state (running statistics, dropout), which dies at a given forward pass."""

    def __init__(self, countdown: Iterator[int]) -> None:
        super().__init__()
        torch.manual_seed(0)
        layers = (nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
        self.layers = nn.Sequential(*layers)
        self._countdown = countdown

    def __deepcopy__(self, memo: dict[int, object]) -> "Net":
        """Let the average count on the same countdown."""
        copy = Net(self._countdown)
        copy.load_state_dict(self.state_dict())
        return copy

    def forward(self, images: Tensor) -> Tensor:
        if next(self._countdown, 1) == 0:
            raise DiedError
        logits: Tensor = self.layers(images)
        return logits


def rows() -> TrainingRows:
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = 30 + 60 * labels[:, None, None, None] + generator.integers(60, size=(60, 4, 4, 1))
    kept: NDArray[np.int64] = np.flatnonzero(np.arange(60) % 5 != 0)
    source = (np.arange(60) >= 40).astype(np.uint8)
    epsilons = np.full(len(kept), 0.1, np.float32)
    return TrainingRows(images.astype(np.uint8), labels.astype(np.int64), source, kept, epsilons, (4, 4, 1))


def fit(case: str, state: StateFile = NO_STATE, dies_after: int = 10**9, **changes: Any) -> TrainingResult:
    recipe = {"epochs": 3, "samples_per_epoch": 48, "batch_size": 16, "crop_padding": 1, "attack_steps": 2}
    values = {**recipe, "synthetic_fraction": 0.4, "averaging_warmup": 0.2, **CASES[case], **changes}
    online = values.pop("online", None)
    settings = read_training({k: v for k, v in values.items() if v is not None})
    recipe_of_run = Recipe(settings, ThreatSettings(epsilon=0.1), TrackSettings.model_validate(TRACK), online)
    data = rows()
    validation = LabelledImages(np.asarray(data.images)[::2], data.labels[::2])
    net, where = Net(iter(range(dies_after, -1, -1))), Execution(state_file=state)
    return train_on_rows(net, data, recipe_of_run, validation, where)


def kept(path: Path, key: str = "key") -> StateFile:
    return StateFile(StatePlace(path, 0), key)


def assert_equal_results(first: TrainingResult, second: TrainingResult) -> None:
    for name, weight in first.model.state_dict().items():
        assert torch.equal(weight, second.model.state_dict()[name]), name
    assert first.history.equals(second.history)
    assert first.epoch == second.epoch
    assert list(first.kept) == list(second.kept)
    for epoch, weights in first.kept.items():
        assert all(torch.equal(weight, second.kept[epoch][name]) for name, weight in weights.items())
    assert first.track.visits is not None
    assert second.track.visits is not None
    np.testing.assert_array_equal(first.track.visits.count, second.track.visits.count)
    np.testing.assert_array_equal(first.track.visits.wrong, second.track.visits.wrong)
    for name, quantity in first.track.quantities.items():
        np.testing.assert_array_equal(quantity.values, second.track.quantities[name].values)
        np.testing.assert_array_equal(quantity.epochs, second.track.quantities[name].epochs)


@pytest.mark.parametrize("case", CASES)
def test_training_that_dies_again_and_again_ends_with_the_same_bits(case: str, tmp_path: Path) -> None:
    """Each life ends after one more forward pass: within steps, attacks, measurements and passes over the pool."""
    whole = fit(case)
    for lives in range(100):
        try:
            resumed = fit(case, kept(tmp_path / "state"), dies_after=20 + 3 * lives)
        except DiedError:
            continue
        break
    assert lives >= 2
    assert_equal_results(whole, resumed)


@pytest.mark.parametrize("case", ["trades", "trades, kept epochs and the best"])
@pytest.mark.parametrize("batch", range(9))
def test_training_goes_on_from_the_state_before_any_batch(
    batch: int, case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Copied(StateFile):
        """Copies the state that is saved before each batch."""

        count = 0

        def offer(self, values: Any) -> None:
            super().offer(values)
            if self.count == batch:
                (tmp_path / "copy").write_bytes((tmp_path / "state").read_bytes())
            self.count += 1

    whole = fit(case, Copied(StatePlace(tmp_path / "state", 0), "key"))
    with caplog.at_level("INFO"):
        resumed = fit(case, kept(tmp_path / "copy"))
    assert f"go on from the state at {tmp_path / 'copy'}" in caplog.text
    assert caplog.text.count("images/s") == 3 - batch // 3
    assert_equal_results(whole, resumed)


def test_a_loss_that_is_not_finite_keeps_the_last_good_state(tmp_path: Path) -> None:
    """The learning rate breaks the weights in the first steps; no state is saved after that."""
    expected = r"expected (a finite loss|finite weights), got .* in epoch 1 .*step \d of 3; lower learning_"
    for _ in range(2):
        with pytest.raises(DataError, match=expected):
            fit("trades", kept(tmp_path / "state"), learning_rate=1e30, schedule="constant")
    state = kept(tmp_path / "state").load()
    assert state is not None
    assert all(weight.isfinite().all() for weight in state["trainer"]["model"].values())
