import math
import warnings
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR

from pumalib.models import preact_resnet, resnet, wide_resnet
from pumalib.models.build import build_model
from pumalib.models.layouts import Layout
from pumalib.models.settings import ArchitectureSettings
from pumalib.training.optimisation import make_optimizer, make_schedule
from pumalib.training.settings import RecipeSettings, TradesSettings

PEAK = 0.2


def one_parameter() -> nn.Module:
    return nn.Linear(1, 1)


def stepped(settings: RecipeSettings, count: int) -> tuple[list[float], list[float]]:
    """Return the learning rate and the momentum of each of `count` steps of the schedule."""
    model = one_parameter()
    optimizer = make_optimizer(model, settings)
    schedule = make_schedule(optimizer, settings)
    rates, momenta = [], []
    for _ in range(count):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        momenta.append(float(optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        schedule.step()
    return rates, momenta


def cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def test_one_cycle_of_400_epochs_is_the_published_one() -> None:
    """Wang et al. 2023: OneCycleLR stepped once an epoch, pct_start 0.025; ten epochs rise, 390 fall."""
    settings = TradesSettings(epochs=400, learning_rate=PEAK)
    rates, momenta = stepped(settings, 400)
    reference = torch.optim.SGD(one_parameter().parameters(), lr=PEAK, momentum=0.9, nesterov=True)
    theirs = OneCycleLR(reference, PEAK, total_steps=400, pct_start=0.025)
    for rate, momentum in zip(rates, momenta, strict=True):
        assert rate == pytest.approx(float(reference.param_groups[0]["lr"]))
        assert momentum == pytest.approx(float(reference.param_groups[0]["momentum"]))
        reference.step()
        theirs.step()


@pytest.mark.parametrize(("unit", "epochs", "per_epoch"), [("epoch", 400, 1), ("epoch", 40, 1), ("step", 5, 8)])
def test_one_cycle_rises_and_falls_by_cosine(unit: str, epochs: int, per_epoch: int) -> None:
    settings = TradesSettings(
        epochs=epochs, samples_per_epoch=4 * per_epoch, batch_size=4, learning_rate=PEAK, schedule_unit=unit
    )
    total = epochs * per_epoch
    rises = max(0.025 * total, 2) - 1
    expected = [
        cosine(PEAK / 25, PEAK, at / rises)
        if at <= rises
        else cosine(PEAK, PEAK / 25e4, (at - rises) / (total - 1 - rises))
        for at in range(total)
    ]
    rates, momenta = stepped(settings, total)
    np.testing.assert_allclose(rates, expected, rtol=1e-6)
    assert max(rates) == pytest.approx(PEAK)
    assert (min(momenta), momenta[0], momenta[-1]) == (pytest.approx(0.85), pytest.approx(0.95), pytest.approx(0.95))


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("unit", ["epoch", "step"])
def test_a_short_training_reaches_its_peak_without_a_warning(epochs: int, unit: str) -> None:
    settings = TradesSettings(epochs=epochs, samples_per_epoch=1, batch_size=1, learning_rate=PEAK, schedule_unit=unit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rates, _ = stepped(settings, epochs)
    assert max(rates) == pytest.approx(PEAK)
    assert min(rates) > 0
    if epochs < 4:
        assert rates == [PEAK] * epochs


def test_constant_schedule_leaves_rate_and_momentum() -> None:
    rates, momenta = stepped(TradesSettings(epochs=50, learning_rate=PEAK, schedule="constant"), 50)
    assert set(rates) == {PEAK}
    assert set(momenta) == {0.9}


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.999])
@pytest.mark.parametrize("epochs", [4, 7, 49])
def test_any_warm_up_share_can_be_stepped_to_the_end(fraction: float, epochs: int) -> None:
    rates, _ = stepped(TradesSettings(epochs=epochs, learning_rate=PEAK, warmup_fraction=fraction), epochs)
    assert all(0 < rate <= PEAK + 1e-12 for rate in rates)


def test_everything_decays_unless_told_otherwise() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))
    groups = make_optimizer(model, TradesSettings(weight_decay=0.01)).param_groups
    assert [(group["weight_decay"], len(group["params"])) for group in groups] == [(0.01, 6)]


def test_biases_and_normalisation_parameters_can_be_left_undecayed() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))
    groups = make_optimizer(model, TradesSettings(weight_decay=0.01, decay_all=False)).param_groups
    decay = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    assert {name: decay[id(parameter)] for name, parameter in model.named_parameters()} == {
        "0.weight": 0.01,
        "0.bias": 0.0,
        "1.weight": 0.0,
        "1.bias": 0.0,
        "3.weight": 0.01,
        "3.bias": 0.0,
    }


@pytest.mark.parametrize(
    ("name", "port", "decay_all"),
    [
        ("resnet-18", resnet.LAYOUTS[0], True),
        ("preactresnet-18", preact_resnet.LAYOUTS[0], True),
        ("wrn-28-1", wide_resnet.LAYOUTS[1], "but_normalisation"),  # names as in wrn-28-10, a hundredth of its weights
    ],
)
def test_parameters_decay_as_in_the_code_of_wang_et_al(
    name: str, port: Layout, decay_all: bool | Literal["but_normalisation"]
) -> None:
    # Exempt there is what has "batchnorm" in its name: `group_weight` of gowal21uncovering/utils/watrain.py. The ports
    # hold their names, which tests/models read their files by: bn1, bn2, bn, shortcut.1 in ResNets, batchnorm_0 in WRN.
    model = build_model(ArchitectureSettings(name=name), (32, 32, 3), 10)
    groups = make_optimizer(model, TradesSettings(weight_decay=5e-4, decay_all=decay_all)).param_groups
    ours = {id(parameter): group["weight_decay"] for group in groups for parameter in group["params"]}
    theirs = {key: 0.0 if "batchnorm" in port.theirs(key) else 5e-4 for key, _ in model.named_parameters()}
    assert {key: ours[id(parameter)] for key, parameter in model.named_parameters()} == theirs
    assert len(set(theirs.values())) == (2 if name.startswith("wrn") else 1)


def test_decay_can_exempt_normalisation_alone_behind_a_normalised_input_too() -> None:
    settings = ArchitectureSettings.model_validate({"name": "wrn-10-1", "mean": [0.5], "std": [0.25]})
    model = build_model(settings, (8, 8, 1), 3)
    groups = make_optimizer(model, TradesSettings(decay_all="but_normalisation")).param_groups
    exempt = {id(parameter) for parameter in groups[1]["params"]}
    names = {name for name, parameter in model.named_parameters() if id(parameter) in exempt}
    assert all("norm" in name for name in names)
    assert not any("norm" in name for name, _ in model.named_parameters() if name not in names)
    assert len(names) == 2 * (2 * 3 + 1)  # a weight and a bias each: two a block, one block a stage, and the last one


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, True), (0.0, False)])
def test_momentum_is_nesterov_where_there_is_any(momentum: float, nesterov: bool) -> None:
    settings = TradesSettings(momentum=momentum, schedule="constant")
    assert make_optimizer(one_parameter(), settings).param_groups[0]["nesterov"] is nesterov
