from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from pumalib.attacks.objectives import cross_entropy, divergence
from pumalib.attacks.threat_settings import Norm
from pumalib.training.inner_attack import InnerAttack

Maker = Callable[..., nn.Module]
EPSILONS = st.lists(st.one_of(st.just(0.0), st.floats(-0.625, 0.625, width=32)), min_size=1, max_size=6)


def a_net(seed: int = 0, num_classes: int = 3) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, num_classes)).train()


def linear(weight: list[list[float]]) -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(len(weight[0]), len(weight), bias=False))
    model[1].weight.data = torch.tensor(weight)
    return model


def perturb(model: nn.Module, images: Tensor, labels: Tensor, epsilons: Tensor, attack: InnerAttack) -> Tensor:
    """Attack as TRADES does."""
    with torch.no_grad():
        clean = model(images)
    objective = partial(divergence, clean_logits=clean)
    return attack.perturb(model, images, labels, epsilons, objective, torch.Generator().manual_seed(1))


@settings(deadline=None, max_examples=60)
@given(
    epsilons=EPSILONS,
    norm=st.sampled_from(["linf", "l2"]),
    step_size=st.one_of(st.none(), st.floats(1e-3, 2.0)),
    num_steps=st.integers(0, 4),
    seed=st.integers(0, 1000),
)
def test_each_perturbation_stays_in_its_own_ball_and_in_the_valid_range(
    epsilons: list[float], norm: Norm, step_size: float | None, num_steps: int, seed: int
) -> None:
    radii = torch.tensor(epsilons)
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(len(radii), 1, 2, 3, generator=generator).mul(1.4).sub(0.2).clamp(0, 1)
    labels = torch.randint(3, (len(radii),), generator=generator)
    adversarial = perturb(a_net(seed), images, labels, radii, InnerAttack(norm, num_steps, step_size))
    moved = (adversarial - images).flatten(1)
    length = moved.abs().amax(1) if norm == "linf" else moved.norm(dim=1)
    assert (length <= radii.abs() + 1e-6).all()
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    assert torch.equal(adversarial[radii == 0], images[radii == 0])
    assert not adversarial.requires_grad


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), epsilon=st.floats(0.01, 0.5), norm=st.sampled_from(["linf", "l2"]))
def test_negative_epsilons_never_raise_the_cross_entropy_of_their_rows(seed: int, epsilon: float, norm: Norm) -> None:
    generator = torch.Generator().manual_seed(seed)
    images, labels = torch.rand(8, 1, 2, 3, generator=generator), torch.randint(3, (8,), generator=generator)
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 3))
    adversarial = perturb(model, images, labels, torch.full((8,), -epsilon), InnerAttack(norm, 10))
    before, after = cross_entropy(model(images), labels), cross_entropy(model(adversarial), labels)
    assert (after <= before + 1e-3 * epsilon).all()
    assert after.mean() < before.mean()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_signs_act_row_by_row_within_one_batch(norm: Norm) -> None:
    model = a_net(5)
    generator = torch.Generator().manual_seed(5)
    images, labels = torch.rand(40, 1, 2, 3, generator=generator), torch.randint(3, (40,), generator=generator)
    epsilons = torch.where(torch.arange(40) % 2 == 0, 0.2, -0.2)
    adversarial = perturb(model, images, labels, epsilons, InnerAttack(norm, 10))
    start = perturb(model, images, labels, epsilons, InnerAttack(norm, 0))
    lowered = cross_entropy(model(adversarial), labels) < cross_entropy(model(images), labels)
    raised = divergence(model(adversarial), model(images)) > divergence(model(start), model(images))
    assert lowered[epsilons < 0].all()
    assert raised[epsilons > 0].all()
    assert not lowered[epsilons > 0].all()


def test_linear_model_is_attacked_to_the_corner_of_the_box() -> None:
    """Two classes with w = (1, -2): the loss of class 0 falls along sign(w) and rises against it."""
    model = linear([[1.0, -2.0], [0.0, 0.0]])
    images = torch.full((2, 1, 1, 2), 0.5)
    labels = torch.zeros(2, dtype=torch.int64)
    attack = InnerAttack("linf", 10)
    objective = partial(cross_entropy, labels=labels)
    moved = attack.perturb(
        model, images, labels, torch.tensor([-0.1, 0.3]), objective, torch.Generator().manual_seed(0)
    )
    expected = torch.tensor([[0.5 + 0.1, 0.5 - 0.1], [0.5 - 0.3, 0.5 + 0.3]])
    torch.testing.assert_close(moved.flatten(1), expected)


def test_linear_model_is_attacked_along_its_weights_in_l2() -> None:
    model = linear([[3.0, -4.0], [0.0, 0.0]])
    labels = torch.zeros(2, dtype=torch.int64)
    moved = InnerAttack("l2", 60).perturb(
        model,
        torch.full((2, 1, 1, 2), 0.5),
        labels,
        torch.tensor([-0.1, 0.3]),
        partial(cross_entropy, labels=labels),
        torch.Generator().manual_seed(0),
    )
    expected = torch.tensor([[0.5 + 0.06, 0.5 - 0.08], [0.5 - 0.18, 0.5 + 0.24]])
    torch.testing.assert_close(moved.flatten(1), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("step_size", "step"), [(None, [0.05, 0.025]), (0.01, [0.01, 0.01])])
def test_step_is_a_quarter_of_the_row_s_radius_unless_fixed(step_size: float | None, step: list[float]) -> None:
    model = linear([[1.0, 1.0], [0.0, 0.0]])
    images, labels = torch.full((2, 1, 1, 2), 0.5), torch.zeros(2, dtype=torch.int64)
    points = [
        InnerAttack("linf", count, step_size).perturb(
            model,
            images,
            labels,
            torch.tensor([0.2, -0.1]),
            partial(cross_entropy, labels=labels),
            torch.Generator().manual_seed(4),  # this start is far enough from the edge of the ball for one whole step
        )
        for count in (0, 1)
    ]
    moved = (points[1] - points[0]).flatten(1).abs().amax(1)
    torch.testing.assert_close(moved, torch.tensor(step))


@pytest.mark.parametrize("in_eval_mode", [False, True])
def test_attack_leaves_parameters_gradients_modes_and_statistics_alone(small_net: Maker, in_eval_mode: bool) -> None:
    model = small_net()
    model[3].eval()  # type: ignore[index]
    model[1].bias.requires_grad_(False)  # type: ignore[index]
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = torch.full_like(parameter, float(number))
    model[4].bias.grad = None  # type: ignore[index]

    def state() -> list[object]:
        tensors = [tensor.clone() for tensor in [*model.parameters(), *model.buffers()]]
        grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
        flags = [p.requires_grad for p in model.parameters()] + [module.training for module in model.modules()]
        tracked = [getattr(module, "track_running_stats", None) for module in model.modules()]
        return [[t.tolist() for t in tensors], [None if g is None else g.tolist() for g in grads], flags, tracked]

    before = state()
    images, labels = torch.rand(6, 1, 2, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    objective = partial(cross_entropy, labels=labels)
    epsilons = torch.tensor([0.1, -0.1, 0.0, 0.2, -0.2, 0.05])
    attack = InnerAttack("linf", 3, in_eval_mode=in_eval_mode)
    attack.perturb(model, images, labels, epsilons, objective, torch.Generator().manual_seed(0))
    assert state() == before


def test_attack_uses_the_statistics_of_the_batch(small_net: Maker) -> None:
    """Wrong running statistics must not matter to an attack in train mode."""
    images, labels = torch.rand(6, 1, 2, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    results = []
    for mean in (0.0, 50.0):
        model = small_net()
        model[2].running_mean.fill_(mean)  # type: ignore[index]
        results.append(perturb(model, images, labels, torch.full((6,), 0.1), InnerAttack("linf", 3)))
    assert torch.equal(*results)


def test_attack_in_eval_mode_is_that_of_the_model_in_eval_mode(small_net: Maker) -> None:
    images, labels = torch.rand(6, 1, 2, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    objective, found = partial(cross_entropy, labels=labels), []
    for model, in_eval_mode in ((small_net(), True), (small_net().eval(), False), (small_net(), False)):
        attack = InnerAttack("linf", 3, in_eval_mode=in_eval_mode)
        generator = torch.Generator().manual_seed(0)
        found.append(attack.perturb(model, images, labels, torch.full((6,), 0.1), objective, generator))
    in_mode, of_resting_model, by_batch = found
    assert torch.equal(in_mode, of_resting_model)
    assert not torch.equal(in_mode, by_batch)


def test_same_generator_gives_the_same_perturbation_and_another_does_not() -> None:
    model, images, labels = a_net(), torch.rand(4, 1, 2, 3), torch.tensor([0, 1, 2, 0])
    attack, objective = InnerAttack("linf", 0), partial(cross_entropy, labels=labels)
    first, again, other = (
        attack.perturb(model, images, labels, torch.full((4,), 0.1), objective, torch.Generator().manual_seed(seed))
        for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
