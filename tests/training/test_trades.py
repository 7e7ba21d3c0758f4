from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.training.batch_norm import set_momentum, unrecorded_statistics
from pumalib.training.inner_attack import InnerAttack
from pumalib.training.losses import BatchLoss, Step
from pumalib.training.methods import natural, pgd_at, trades
from pumalib.training.settings import NaturalSettings, PgdAtSettings, TradesSettings

SMOOTHING, BETA = 0.1, 5.0
SETTINGS = {trades: TradesSettings(beta=BETA), pgd_at: PgdAtSettings(), natural: NaturalSettings()}
Maker = Callable[..., nn.Module]


def a_step(model: nn.Module, images: Tensor, labels: Tensor, epsilons: Tensor, num_steps: int = 3) -> Step:
    attack = InnerAttack("linf", num_steps)
    return Step(model, images, labels, epsilons, attack, torch.Generator().manual_seed(7), SMOOTHING)


def loss_of(method: ModuleType, step: Step) -> BatchLoss:
    loss: BatchLoss = method.batch_loss(step, SETTINGS[method])
    return loss


def a_batch(count: int = 16, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 2, 3, generator=generator)
    return images, torch.randint(3, (count,), generator=generator)


def normalised(model: nn.Module) -> nn.BatchNorm1d:
    layer = model[2]  # type: ignore[index]
    assert isinstance(layer, nn.BatchNorm1d)
    return layer


def activation_statistics(model: nn.Module, images: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and unbiased variance of what enters the normalisation layer, by NumPy."""
    first = model[1]  # type: ignore[index]
    weight, bias = (parameter.detach().double().numpy() for parameter in (first.weight, first.bias))
    values = images.flatten(1).double().numpy() @ weight.T + bias
    return values.mean(0), values.var(0, ddof=1)


@pytest.mark.parametrize("name", ["convnet", "preactresnet-18"])
def test_the_forward_that_trains_predicts_what_an_attack_with_the_statistics_of_the_batch_sees(name: str) -> None:
    model = build_model(ArchitectureSettings(name=name), (8, 8, 3), 5).train()
    images = torch.rand(8, 3, 8, 8)
    with torch.no_grad(), InnerAttack("linf", 1).looking_at(model):
        seen = model(images)
    assert torch.equal(model(images), seen)


def test_robust_term_is_zero_when_every_epsilon_is_zero(small_net: Maker) -> None:
    images, labels = a_batch()
    loss = loss_of(trades, a_step(small_net(), images, labels, torch.zeros(16)))
    assert loss.robust.item() == 0.0
    assert loss.total.item() == loss.natural.item()


def test_running_statistics_after_the_first_step_are_those_of_the_batch_alone(small_net: Maker) -> None:
    model, (images, labels) = small_net(), a_batch()
    set_momentum(model, is_first_step=True)
    loss_of(trades, a_step(model, images, labels, torch.zeros(16)))
    mean, variance = activation_statistics(model, images)
    np.testing.assert_allclose(normalised(model).running_mean, mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(normalised(model).running_var, variance, rtol=1e-5, atol=1e-6)


def test_later_steps_move_running_statistics_twice_by_one_per_cent(small_net: Maker) -> None:
    model, (images, labels) = small_net(), a_batch()
    set_momentum(model, is_first_step=False)
    loss_of(trades, a_step(model, images, labels, torch.zeros(16)))
    mean, variance = activation_statistics(model, images)
    np.testing.assert_allclose(normalised(model).running_mean, (1 - 0.99**2) * mean, rtol=1e-4, atol=1e-6)
    expected = 0.99**2 * 1.0 + (1 - 0.99**2) * variance
    np.testing.assert_allclose(normalised(model).running_var, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("method", "forwards"), [(trades, 2), (pgd_at, 1), (natural, 1)])
def test_only_the_outer_forwards_are_recorded(small_net: Maker, method: ModuleType, forwards: int) -> None:
    model, (images, labels) = small_net(), a_batch()
    loss_of(method, a_step(model, images, labels, torch.full((16,), 0.1)))
    assert int(normalised(model).num_batches_tracked) == forwards  # type: ignore[arg-type]


def test_perturbed_images_enter_the_running_statistics_last(small_net: Maker) -> None:
    """At the first step each forward overwrites, so what stays is the second, perturbed one."""
    model, (images, labels) = small_net(), a_batch()
    set_momentum(model, is_first_step=True)
    step = a_step(model, images, labels, torch.full((16,), 0.2), num_steps=0)
    loss_of(trades, step)
    noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(7)) * 2 - 1
    mean, _ = activation_statistics(model, (images + 0.2 * noise).clamp(0, 1))
    np.testing.assert_allclose(normalised(model).running_mean, mean, rtol=1e-4, atol=1e-6)


def test_statistics_are_recorded_again_after_an_error(small_net: Maker) -> None:
    model = small_net()
    with pytest.raises(RuntimeError, match="inside"), unrecorded_statistics(model):
        raise RuntimeError("inside")
    assert normalised(model).track_running_stats


def test_layers_that_never_record_stay_so() -> None:
    model = nn.Sequential(nn.BatchNorm1d(2, track_running_stats=False))
    with unrecorded_statistics(model):
        pass
    assert model[0].track_running_stats is False


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return (
        logits
        - logits.max(1, keepdims=True)
        - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
    )


def smoothed_cross_entropy(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    classes = logits.shape[1]
    targets = np.full(logits.shape, SMOOTHING / classes)
    targets[np.arange(len(labels)), labels] += 1 - SMOOTHING
    return float(-(targets * log_softmax(logits)).sum(1).mean())


def divergence(clean: NDArray[np.float64], perturbed: NDArray[np.float64]) -> float:
    log_clean, log_perturbed = log_softmax(clean), log_softmax(perturbed)
    return float((np.exp(log_clean) * (log_clean - log_perturbed)).sum(1).mean())


class Linear:
    """A linear model twice: in torch, and in NumPy as a function of its weights."""

    def __init__(self) -> None:
        torch.manual_seed(3)
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(6, 3)).double().train()
        images, self.labels = a_batch(5)
        self.images = images.double()
        self.epsilons = torch.tensor([0.3, 0.1, -0.2, 0.0, 0.25], dtype=torch.float64)
        noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(7)) * 2 - 1
        moved = self.images + noise * self.epsilons.abs().reshape(-1, 1, 1, 1)
        self.clean = self.images.flatten(1).numpy()
        self.perturbed = moved.clamp(0, 1).flatten(1).numpy()
        self.weight, self.bias = (p.detach().numpy().copy() for p in self.model.parameters())

    def step(self) -> Step:
        """Return a step whose attack stops at its random start: a fixed perturbation."""
        return a_step(self.model, self.images, self.labels, self.epsilons, num_steps=0)

    def trades_loss(self, weight: NDArray[np.float64]) -> float:
        clean, perturbed = self.clean @ weight.T + self.bias, self.perturbed @ weight.T + self.bias
        return smoothed_cross_entropy(clean, self.labels.numpy()) + BETA * divergence(clean, perturbed)


def test_trades_loss_is_the_formula_worked_out_by_hand() -> None:
    case = Linear()
    loss = loss_of(trades, case.step())
    clean, perturbed = (pixels @ case.weight.T + case.bias for pixels in (case.clean, case.perturbed))
    assert loss.natural.item() == pytest.approx(smoothed_cross_entropy(clean, case.labels.numpy()))
    assert loss.robust.item() == pytest.approx(divergence(clean, perturbed))
    assert loss.total.item() == pytest.approx(case.trades_loss(case.weight))


def test_trades_gradient_is_that_of_both_terms_in_both_forwards() -> None:
    case = Linear()
    loss_of(trades, case.step()).total.backward()  # type: ignore[no-untyped-call]
    expected = np.zeros_like(case.weight)
    for index in np.ndindex(*case.weight.shape):
        step = np.zeros_like(case.weight)
        step[index] = 1e-5
        expected[index] = (case.trades_loss(case.weight + step) - case.trades_loss(case.weight - step)) / 2e-5
    np.testing.assert_allclose(case.model[1].weight.grad, expected, rtol=1e-6, atol=1e-8)


def test_pgd_training_loss_is_the_smoothed_cross_entropy_of_perturbed_images_alone() -> None:
    case = Linear()
    loss = loss_of(pgd_at, case.step())
    expected = smoothed_cross_entropy(case.perturbed @ case.weight.T + case.bias, case.labels.numpy())
    assert loss.total.item() == pytest.approx(expected)
    assert loss.robust.item() == loss.total.item()
    assert np.isnan(loss.natural.item())


def test_natural_training_loss_is_the_smoothed_cross_entropy_of_clean_images() -> None:
    case = Linear()
    loss = loss_of(natural, case.step())
    expected = smoothed_cross_entropy(case.clean @ case.weight.T + case.bias, case.labels.numpy())
    assert (loss.total.item(), loss.natural.item(), loss.robust.item()) == (pytest.approx(expected),) * 2 + (0.0,)


@pytest.mark.parametrize("method", [trades, pgd_at, natural])
def test_reported_terms_carry_no_gradient(method: ModuleType) -> None:
    loss = loss_of(method, Linear().step())
    assert loss.total.requires_grad
    assert not loss.natural.requires_grad
    assert not loss.robust.requires_grad


@pytest.mark.parametrize("method", [pgd_at, trades])
def test_wrong_rows_are_those_misclassified_at_the_images_that_the_loss_was_taken_at(
    small_net: Maker, method: ModuleType
) -> None:
    images, labels = a_batch()
    epsilons = torch.full((16,), 0.2)
    loss = loss_of(method, a_step(small_net(), images, labels, epsilons))
    model = small_net()
    step = a_step(model, images, labels, epsilons)
    with torch.no_grad(), unrecorded_statistics(model):
        clean = model(images)
    objective = method.attack_objective(clean, labels)
    perturbed = step.attack.perturb(model, images, labels, epsilons, objective, step.generator)
    assert loss.wrong.tolist() == (model(perturbed).argmax(1) != labels).tolist()
    assert loss.wrong.tolist() != (clean.argmax(1) != labels).tolist()


def test_wrong_rows_of_natural_training_are_those_misclassified_as_they_are(small_net: Maker) -> None:
    images, labels = a_batch()
    loss = loss_of(natural, a_step(small_net(), images, labels, torch.full((16,), 0.2)))
    assert loss.wrong.tolist() == (small_net()(images).argmax(1) != labels).tolist()
