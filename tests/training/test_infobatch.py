"""Rows left out of single epochs: which, how the others count, and what becomes of a training."""

import json
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
from pumalib.training.dynamic.infobatch import Policy, well_learned
from pumalib.training.dynamic.settings import InfoBatchSettings
from pumalib.training.inner_attack import InnerAttack
from pumalib.training.losses import Step
from pumalib.training.methods import natural, pgd_at, trades
from pumalib.training.online.settings import IaatEpsilon
from pumalib.training.sampling import BatchPlan, draw_batches, without_rows
from pumalib.training.settings import read_training
from pumalib.training.train import TrainingResult, TrainOptions, train

PUBLISHED: dict[str, Any] = json.loads((Path(__file__).parent / "published_infobatch.json").read_text())
CPU = torch.device("cpu")


def policy_of(losses: list[float], num_epochs: int = 20, seed: int = 0, **settings: float) -> Policy:
    """Return a policy that has seen every row once, in one batch."""
    policy = Policy(InfoBatchSettings(**settings), len(losses), num_epochs, seed, CPU)
    policy.remember(a_step(positions=np.arange(len(losses))), torch.tensor(losses, dtype=torch.float32))
    return policy


def a_step(**values: Any) -> Step:
    given: dict[str, Any] = {
        "model": nn.Flatten(),
        "images": torch.zeros(len(values.get("positions", ())), 1, 1, 3),
        "labels": torch.zeros(len(values.get("positions", ())), dtype=torch.int64),
        "epsilons": torch.zeros(len(values.get("positions", ()))),
        "attack": InnerAttack("linf", 1),
        "generator": torch.Generator().manual_seed(0),
        "label_smoothing": 0.0,
    }
    return Step(**{**given, **values})


def test_rows_below_the_mean_may_go_and_half_of_them_do():
    """The mean of 1, 2, 3, 4 and 20 is 6: four rows may go, two do, and the two others count twice."""
    policy = policy_of([1, 2, 3, 4, 20])
    policy.begin_epoch(1)
    assert sorted(policy.weights[:4]) == [0, 0, 2, 2]
    assert policy.weights[4] == 1


def test_a_row_that_was_not_drawn_yet_stays_and_leaves_the_mean_alone():
    """The mean of 1 and 5 is 3."""
    assert well_learned(np.array([1, np.nan, 5])).tolist() == [0]
    assert well_learned(np.full(3, np.nan)).tolist() == []
    assert well_learned(np.full(3, 0.5)).tolist() == []


def test_the_first_epoch_leaves_nothing_out_and_every_epoch_leaves_out_others():
    fresh = Policy(InfoBatchSettings(), 4, 20, 0, CPU)
    fresh.begin_epoch(0)
    assert (fresh.weights == 1).all()
    policy = policy_of([*np.linspace(0, 1, 40), 30.0])
    left_out = []
    for epoch in range(1, 4):
        policy.begin_epoch(epoch)
        left_out.append(tuple(np.flatnonzero(policy.weights == 0)))
    assert len(set(left_out)) == 3


def test_one_of_ten_stays_at_a_fraction_of_nine_tenths():
    """1 - 0.9 is a little less than 0.1 in binary: without care no row would stay."""
    policy = policy_of([*[0.0] * 10, 10.0], fraction=0.9)
    policy.begin_epoch(1)
    assert sorted(policy.weights) == pytest.approx([*[0] * 9, 1, 10])


@pytest.mark.parametrize("case", PUBLISHED["cases"], ids=lambda case: str(case["fraction"]))
def test_which_rows_may_go_how_many_do_and_what_the_others_weigh_is_as_in_the_authors_code(case):
    theirs: NDArray[np.float64] = np.zeros(len(PUBLISHED["losses"]))
    theirs[case["kept"]] = np.array(case["weights"])[case["kept"]]
    policy = policy_of(PUBLISHED["losses"], fraction=case["fraction"])
    policy.begin_epoch(1)
    assert sorted(policy.weights) == pytest.approx(sorted(theirs), abs=1e-5)
    always = {row for row, weight in enumerate(case["weights"]) if weight == 1 and row in case["kept"]}
    assert set(np.flatnonzero(policy.weights == 1)) == always  # the rows of at least the mean loss: no draw in that


def test_epochs_that_leave_rows_out_are_those_of_the_authors_code():
    policy = policy_of(PUBLISHED["losses"], num_epochs=PUBLISHED["num_epochs"])
    lengths = []
    for epoch in range(PUBLISHED["num_epochs"]):
        policy.begin_epoch(epoch)
        lengths.append(int((policy.weights > 0).sum()))
    assert lengths == PUBLISHED["lengths"]


def test_batches_without_rows_are_the_draws_that_are_left_in_their_order():
    batches = iter([np.array([4, 1, 0]), np.array([2, 4, 3]), np.array([1, 5, 0])])
    is_left_out = np.isin(np.arange(6), [1, 2])
    found = without_rows(batches, is_left_out, 3)
    assert [batch.tolist() for batch in found] == [[4, 0, 4], [3, 5, 0]]
    (short,) = without_rows(iter([np.array([4, 1, 0])]), is_left_out, 3)
    assert short.tolist() == [4, 0]
    with pytest.raises(DataError, match=r"got none: all 3 draws of an epoch .* lower dynamic_pruning\.fraction"):
        without_rows(iter([np.array([1, 1, 2])]), is_left_out, 3)


def test_no_row_left_out_leaves_the_batches_alone():
    plan = BatchPlan(batch_size=4, num_batches=3, synthetic_fraction=0.5, seed=0)
    source, rows = np.repeat([0, 1], 8).astype(np.uint8), np.arange(16)
    drawn = [batch.tolist() for batch in draw_batches(plan, source, rows, 0)]
    again = without_rows(draw_batches(plan, source, rows, 0), np.zeros(16, bool), 4)
    assert [batch.tolist() for batch in again] == drawn


def logits_of(images: Tensor) -> Tensor:
    return images.flatten(1)


def test_the_loss_of_a_batch_is_the_mean_of_weight_times_loss():
    """Logits (0, log 3) give the second class 3/4: cross-entropies log 4 and log 4/3, weights 1 and 2, two rows."""
    images = torch.tensor([[0.0, np.log(3)], [0, np.log(3)]]).view(2, 1, 1, 2)
    step = a_step(images=images, labels=torch.tensor([0, 1]), epsilons=torch.zeros(2), weights=torch.tensor([1.0, 2.0]))
    found = natural.batch_loss(step, read_training({"method": "natural"}))
    assert float(found.total) == pytest.approx((np.log(4) + 2 * np.log(4 / 3)) / 2)
    assert found.of_rows is not None
    assert found.of_rows.tolist() == pytest.approx([np.log(4), np.log(4 / 3)])


@pytest.mark.parametrize(("module", "method"), [(trades, "trades"), (pgd_at, "pgd_at")])
def test_the_losses_of_rows_are_what_a_batch_of_one_would_have(module, method, small_net):
    """Each row alone, at the points that the whole batch is attacked to, gives its own loss, TRADES' both terms."""
    settings, model = read_training({"method": method, "attack_steps": 2, "attack_statistics": "running"}), small_net()
    model.eval()
    images = torch.rand(5, 1, 2, 3, generator=torch.Generator().manual_seed(3))
    about = {"model": model, "images": images, "labels": torch.arange(5) % 3, "epsilons": torch.zeros(5)}
    weights = torch.tensor([1.0, 0.5, 2.0, 1.0, 4.0])
    whole = module.batch_loss(a_step(**about, weights=weights), settings)
    alone = []
    for row in range(5):
        of_row = {key: about[key][row : row + 1] for key in ("images", "labels", "epsilons")}
        alone.append(module.batch_loss(a_step(model=model, **of_row), settings).total.item())
    assert whole.of_rows.tolist() == pytest.approx(alone, rel=1e-5)
    assert whole.total.item() == pytest.approx((weights * torch.tensor(alone)).mean().item(), rel=1e-5)


def fit(**changes: Any) -> TrainingResult:
    recipe = {"method": "natural", "epochs": 8, "samples_per_epoch": 96, "batch_size": 16, "history_every": 8}
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (30 + 60 * labels[:, None, None, None] + generator.integers(60, size=(60, 4, 4, 1))).astype(np.uint8)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    options = TrainOptions(validation=LabelledImages(images, labels))
    training = read_training({**recipe, **changes})
    return train(model, images, labels, settings=training, threat=ThreatSettings(epsilon=0.1), options=options)


def test_epochs_are_shorter_and_the_last_ones_whole():
    """8 epochs, 7 of which (0.875 of 8) may leave rows out: the first knows no losses yet."""
    history = fit(dynamic_pruning={"fraction": 0.5}).history
    draws = np.diff(history["images_seen"], prepend=0)
    assert draws[0] == draws[7] == 96
    assert (draws[1:7] < 96).all()
    assert (draws % 16 == 0).all()
    assert (history["num_dropped"] == 96 - draws).all()
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize("unit", ["step", "epoch"])
def test_the_rate_ends_each_epoch_where_it_would_without(unit):
    plain = fit(schedule_unit=unit).history["learning_rate"]
    pruned = fit(schedule_unit=unit, dynamic_pruning={}).history["learning_rate"]
    assert pruned.iloc[-1] == pytest.approx(plain.iloc[-1], rel=1e-6)
    if unit == "epoch":
        assert pruned.tolist() == plain.tolist()


def test_without_losses_below_the_mean_nothing_changes():
    """`until` before the second epoch: the same draws, weights of 1, and the same network to rounding."""
    plain, kept = fit(), fit(dynamic_pruning={"until": 0.1})
    assert plain.history["images_seen"].tolist() == kept.history["images_seen"].tolist()
    for one, other in zip(plain.model.parameters(), kept.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_a_policy_that_drops_rows_itself_is_refused_beside_it():
    images, labels = np.zeros((4, 2, 2, 1), np.uint8), np.arange(4) % 2
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    training = read_training({"method": "pgd_at", "dynamic_pruning": {}, "epochs": 4})
    options = TrainOptions(online=IaatEpsilon(policy="iaat"))
    with pytest.raises(DataError, match="expected no online policy beside dynamic_pruning, got iaat"):
        train(model, images, labels, settings=training, threat=ThreatSettings(epsilon=0.1), options=options)
