"""Whole trainings with policies that find epsilons on the way."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import DataError
from pumalib.files.provenance import code_fingerprint
from pumalib.models.settings import ArchitectureSettings
from pumalib.training.online.settings import IaatEpsilon, OnlineEpsilonSettings, OnlineMarginEpsilon, online_module
from pumalib.training.run_settings import RunSettings
from pumalib.training.settings import TradesSettings, method_module, read_training
from pumalib.training.train import TrainingResult, TrainOptions, train

THREAT = ThreatSettings(epsilon=0.1)
ONLINE = OnlineMarginEpsilon(policy="online_margin")
IAAT = IaatEpsilon(policy="iaat", warmup_epochs=1)
SCRIPT = Path(__file__).parents[2] / "workflow_scripts" / "model.py"


def blobs(count: int = 60) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return 4x4 images of three classes told apart by brightness, with noise."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 3
    images = 30 + 80 * labels[:, None, None, None] + generator.integers(30, size=(count, 4, 4, 1))
    return images.astype(np.uint8), labels


def fit(online: OnlineEpsilonSettings | None, seed: int = 0, **changes: Any) -> TrainingResult:
    epsilons = changes.pop("epsilons", None)
    values = {"epochs": 3, "samples_per_epoch": 48, "batch_size": 16, "crop_padding": 0, **changes}
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    recipe, options = read_training(values), TrainOptions(online=online, seed=seed)
    images, labels = blobs()
    return train(model, images, labels, epsilons, settings=recipe, threat=THREAT, options=options)


def are_equal(first: TrainingResult, second: TrainingResult) -> bool:
    tensors = (list(result.model.state_dict().values()) for result in (first, second))
    return all(torch.equal(a, b) for a, b in zip(*tensors, strict=True))


@pytest.mark.parametrize("method", ["trades", "pgd_at"])
@pytest.mark.parametrize("online", [ONLINE, IAAT], ids=["online_margin", "iaat"])
def test_same_seed_gives_the_same_bits_and_the_policy_matters(online: OnlineEpsilonSettings, method: str) -> None:
    first, again, other, constant = (
        fit(policy, seed, method=method) for policy, seed in ((online, 0), (online, 0), (online, 1), (None, 0))
    )
    assert are_equal(first, again)
    assert first.history.equals(again.history)
    assert not are_equal(first, other)
    assert not are_equal(first, constant)


def test_history_tells_the_mean_epsilon_of_the_rows_trained() -> None:
    assert fit(None).history.mean_epsilon.tolist() == pytest.approx([0.1] * 3)
    assert fit(None, method="natural").history.mean_epsilon.tolist() == [0.0] * 3
    online, iaat = fit(ONLINE).history, fit(IAAT).history
    assert (online.mean_epsilon.abs() < 0.1).all()
    assert iaat.mean_epsilon[0] == pytest.approx(0.1)
    assert (iaat.mean_epsilon[1:] < 0.1).all()
    for history in (online, iaat, fit(None).history):
        assert history.num_dropped.tolist() == [0, 0, 0]
        assert list(history.columns[-2:]) == ["mean_epsilon", "num_dropped"]


@pytest.mark.parametrize("policy", [ONLINE, IAAT], ids=["online_margin", "iaat"])
def test_the_cap_of_a_policy_holds_without_a_selection_too(policy: OnlineEpsilonSettings) -> None:
    online = policy.model_copy(update={"cap": 0.03, "warmup_epochs": 1})
    assert fit(online).history.mean_epsilon.abs().max() <= 0.03 + 1e-6


def test_rows_are_dropped_once_the_warm_up_is_over() -> None:
    policy = OnlineMarginEpsilon(policy="online_margin", prune_above=0.15, warmup_epochs=6)
    history = fit(policy, epochs=9, learning_rate=0.1).history
    assert history.num_dropped[:6].tolist() == [0] * 6
    assert (history.num_dropped[6:] > 0).all()
    assert (history.num_dropped < 48).all()


def test_an_epoch_in_which_every_row_is_dropped_is_refused() -> None:
    policy = OnlineMarginEpsilon(policy="online_margin", prune_above=1e-6, warmup_epochs=20)
    with pytest.raises(DataError, match=r"every row of epoch 2\d was still right at prune_above .* warmup_epochs"):
        fit(policy, epochs=40, learning_rate=0.1)


@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_a_batch_that_is_dropped_whole_takes_no_step_while_draws_and_schedule_go_on(unit: str) -> None:
    """A model that is right everywhere but at one row moves by that row's step alone, whenever it comes."""
    images = np.full((6, 1, 2, 1), 200, np.uint8)
    images[:, :, 1] = 50
    labels = np.array([0, 0, 0, 1, 0, 0])

    def trained(rows: NDArray[np.int64], samples: int, prune_above: float | None) -> tuple[nn.Module, TrainingResult]:
        model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
        model[1].weight.data = torch.tensor([[3.0, -3.0], [-3.0, 3.0]])
        values = {
            "method": "pgd_at", "epochs": 1, "samples_per_epoch": samples, "batch_size": 1, "schedule": "constant",
            "learning_rate": 0.01, "schedule_unit": unit, "crop_padding": 0, "horizontal_flip": False,
        }  # fmt: skip
        policy = OnlineMarginEpsilon(policy="online_margin", prune_above=prune_above)
        options = TrainOptions(rows=rows, online=policy)
        return model, train(model, images, labels, settings=read_training(values), threat=THREAT, options=options)

    model, result = trained(np.arange(6), 6, 0.05)
    alone, _ = trained(np.array([3]), 1, None)
    torch.testing.assert_close(model[1].weight, alone[1].weight)  # type: ignore[index]
    history = result.history.iloc[0]
    assert (history.num_dropped, history.images_seen) == (5, 6)
    assert history.mean_epsilon == pytest.approx(-0.1)
    assert history.loss > 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "natural"}, "no online policy with natural training, .* got online_margin"),
        ({"epsilons": np.linspace(0, 0.1, 60)}, r"epsilons above 0 for policy online_margin to start from, got 0\.0"),
    ],
)
def test_what_an_online_policy_cannot_work_with_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit(ONLINE, **changes)


@pytest.mark.parametrize("online", [ONLINE, IAAT], ids=["online_margin", "iaat"])
def test_rules_hand_over_the_settings_of_an_online_policy(online: OnlineEpsilonSettings) -> None:
    settings = RunSettings(architecture=ArchitectureSettings(name="mlp"), training=TradesSettings(), threat=THREAT)
    assert RunSettings.model_validate(settings.model_dump()).epsilon is None
    with_policy = settings.model_copy(update={"epsilon": online})
    assert RunSettings.model_validate(with_policy.model_dump()) == with_policy


def test_the_code_of_a_policy_counts_for_its_own_runs_alone() -> None:
    plain = code_fingerprint(SCRIPT, method_module("trades"))
    assert not {online_module("iaat"), online_module("online_margin")} & plain.keys()
    with_iaat = code_fingerprint(SCRIPT, method_module("trades"), online_module("iaat"))
    assert with_iaat.keys() - plain.keys() == {
        online_module("iaat"),
        online_module("memory"),
        "pumalib.training.row_memory",
    }
