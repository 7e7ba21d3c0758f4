"""Trainings that attack some rows of a batch alone, or with fewer steps."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pumalib.attacks.objectives import cross_entropy, divergence
from pumalib.attacks.threat_settings import Norm, ThreatSettings
from pumalib.errors import DataError
from pumalib.training.inner_attack import InnerAttack
from pumalib.training.losses import Step
from pumalib.training.near_rows import draw_near
from pumalib.training.online.settings import OnlineMarginEpsilon
from pumalib.training.settings import SelectiveSettings, read_training
from pumalib.training.train import TrainOptions, train

THREAT = ThreatSettings(epsilon=0.1)


def drawn(margins: list[float], count: int, times: int) -> Tensor:
    """Return how often each row is drawn, [B]."""
    generator = torch.Generator().manual_seed(0)
    return torch.stack([draw_near(torch.tensor(margins), count, generator) for _ in range(times)]).double().mean(0)


def test_a_row_is_drawn_with_a_chance_in_proportion_to_one_over_its_margin():
    """Weights 1, 1/2 and 1/4: chances 4/7, 2/7 and 1/7; the sign plays no part."""
    torch.testing.assert_close(
        drawn([1.0, -2.0, 4.0], 1, 4_000), torch.tensor([4, 2, 1]).double() / 7, atol=0.03, rtol=0
    )


def test_rows_are_drawn_without_replacement():
    """Of weights 2, 1, 1 two rows: the first is left out when 2 then 3, or 3 then 2, come: 2 x 1/4 x 1/3 = 1/6."""
    chances = drawn([1.0, 2.0, 2.0], 2, 4_000)
    torch.testing.assert_close(chances, torch.tensor([5 / 6, 7 / 12, 7 / 12]).double(), atol=0.03, rtol=0)
    assert float(chances.sum()) == pytest.approx(2)


def test_a_margin_of_zero_is_always_drawn_and_equal_ones_evenly():
    assert drawn([0.0, 5.0, 5.0], 1, 200)[0] == 1
    torch.testing.assert_close(drawn([3.0] * 4, 2, 4_000), torch.full((4,), 0.5).double(), atol=0.03, rtol=0)


def perturbed(num_steps: Tensor | None, norm: Norm = "linf", attack_steps: int = 3) -> tuple[Tensor, Tensor]:
    """Return images and the points that TRADES would attack them to, on a network without normalisation."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    images, labels = torch.rand(6, 1, 2, 3), torch.arange(6) % 3
    objective = partial(divergence, clean_logits=model(images).detach())
    epsilons = torch.tensor([0.1, -0.1, 0.2, 0.3, 0.0, -0.2])
    generator = torch.Generator().manual_seed(1)
    attack = InnerAttack(norm, attack_steps)
    return images, attack.perturb(model, images, labels, epsilons, objective, generator, num_steps=num_steps)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_row_of_so_many_steps_ends_where_an_attack_of_so_many_steps_on_all_rows_ends(norm: Norm):
    """Signs, radii and random starts are those of the whole batch."""
    steps = torch.tensor([3, 2, 1, 0, 3, 1])
    images, points = perturbed(steps, norm)
    for count in (1, 2, 3):
        _, of_all = perturbed(None, norm, attack_steps=count)
        torch.testing.assert_close(points[steps == count], of_all[steps == count], atol=1e-6, rtol=0)
    assert torch.equal(points[3], images[3])


def test_a_batch_of_rows_of_no_steps_is_left_alone():
    images, points = perturbed(torch.zeros(6, dtype=torch.int64))
    assert torch.equal(points, images)


class Recording(nn.Module):
    """A linear network that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.seen = nn.Linear(6, 3), []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.detach().clone())
        return self.layer(images.flatten(1))


@pytest.mark.parametrize(("fraction", "count"), [(0.5, 4), (0.3, 2), (0.01, 1)])
def test_selective_training_perturbs_its_share_of_a_batch_and_goes_through_the_network_with_that(fraction, count):
    model, images, labels = Recording(), torch.rand(8, 1, 2, 3) * 0.5 + 0.25, torch.arange(8) % 3
    about: tuple[Any, ...] = (model, images, labels, torch.full((8,), 0.1), InnerAttack("linf", 2, in_eval_mode=True))
    step = Step(*about, torch.Generator().manual_seed(0), 0.1, selective=SelectiveSettings(fraction=fraction))
    points = step.perturb(partial(cross_entropy, labels=labels)).images
    assert [len(seen) for seen in model.seen] == [8, count, count]  # one look at all, then two steps
    assert int((points != images).flatten(1).any(1).sum()) == count


def test_near_rows_are_those_of_small_logit_margins_after_the_warm_up_alone():
    """One row lies on the boundary between two classes: it is always attacked, but for the warm-up."""
    model = Recording()
    model.layer.weight.data = torch.eye(3, 6) * 100
    model.layer.bias.data.zero_()
    images = torch.full((8, 1, 1, 6), 0.25)
    images[1:, 0, 0, 0], images[0, 0, 0, :2] = 0.75, 0.5
    labels, settings = torch.zeros(8, dtype=torch.int64), SelectiveSettings(fraction=0.125, warmup_epochs=3)

    def attacked(epoch: int, seed: int) -> int:
        about: tuple[Any, ...] = (model, images, labels, torch.full((8,), 0.1), InnerAttack("linf", 1))
        step = Step(*about, torch.Generator().manual_seed(seed), 0.1, selective=settings, epoch=epoch)
        moved = (step.perturb(partial(cross_entropy, labels=labels)).images != images).flatten(1).any(1)
        return int(torch.nonzero(moved))

    assert {attacked(3, seed) for seed in range(20)} == {0}
    assert len({attacked(2, seed) for seed in range(20)}) > 1


def a_training(**changes: Any) -> list[Tensor]:
    """Train a small network without normalisation; return its weights."""
    options = {key: changes.pop(key) for key in ("attack_steps_of_rows", "online") if key in changes}
    steps = options.pop("attack_steps_of_rows", None)
    recipe = read_training({"method": "trades", "epochs": 1, "batch_size": 16, "attack_steps": 2, **changes})
    generator = np.random.default_rng(0)
    labels = np.arange(48) % 2
    images = (labels[:, None, None, None] * 90 + generator.integers(80, size=(48, 4, 4, 1))).astype(np.uint8)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    chosen = TrainOptions(attack_steps=steps, **options)
    train(model, images, labels, settings=recipe, threat=THREAT, options=chosen)
    return [weight.detach() for weight in model.parameters()]


def test_steps_of_each_row_reach_the_rows_that_they_are_for():
    """As many for all is plain training; none for all is training at the images, as with an epsilon of 0 steps."""
    plain = a_training(attack_statistics="running")
    same = a_training(attack_statistics="running", attack_steps_of_rows=np.full(48, 2))
    for one, other in zip(plain, same, strict=True):
        torch.testing.assert_close(one, other)
    fewer = a_training(attack_statistics="running", attack_steps_of_rows=np.arange(48) % 3)
    assert any(not torch.allclose(one, other) for one, other in zip(plain, fewer, strict=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"attack_steps_of_rows": np.full(48, 1)},
            "expected attack_statistics running beside attack steps of each row",
        ),
        (
            {"attack_steps_of_rows": np.full(47, 1), "attack_statistics": "running"},
            r"expected a number of attack steps, at least 0, for each of 48 rows, got \(47,\) from 0",
        ),
        ({"attack_steps_of_rows": np.full(48, -1), "attack_statistics": "running"}, "at least 0, for each of 48 rows"),
        (
            {"attack_steps_of_rows": np.full(48, 1), "attack_statistics": "running", "selective": {"fraction": 0.5}},
            "expected no selective beside attack steps of each row, got both",
        ),
        (
            {"attack_steps_of_rows": np.full(48, 0.5), "attack_statistics": "running"},
            "expected attack_steps as integers",
        ),
        (
            {"attack_statistics": "running", "selective": {"fraction": 0.5}, "online": OnlineMarginEpsilon()},
            "expected no online policy beside selective, got online_margin",
        ),
        ({"selective": {"fraction": 0.5}}, "expected attack_statistics running beside selective, got batch"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, message):
    with pytest.raises(DataError, match=message):
        a_training(**changes)
