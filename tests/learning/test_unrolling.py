"""The hypergradient against finite differences, and the unrolled training against torch's own SGD."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.func import functional_call

from pumalib.errors import DataError
from pumalib.learning.unrolling import (
    Recipe,
    Training,
    check_unrollable,
    hypergradient,
    start_training,
    train_naturally,
    unroll,
)
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings

STEP = 1e-5
RECIPE = Recipe(learning_rate=0.5, momentum=0.9, weight_decay=0.01, label_smoothing=0.1)


@pytest.fixture
def model() -> nn.Module:
    architecture = ArchitectureSettings(name="mlp", width=5, activation="silu")
    return build_model(architecture, (2, 2, 1), 3, seed=1).double()


@pytest.fixture
def rows() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(6, 1, 2, 2, generator=generator, dtype=torch.float64)
    return images, torch.tensor([0, 1, 2, 0, 1, 2])


def batches(count: int) -> list[torch.Tensor]:
    """Overlapping batches: a row may come several times, in one batch or in several."""
    return [torch.tensor([0, 1, 3, 4]), torch.tensor([1, 2, 2, 5]), torch.tensor([0, 3, 4, 5])][:count]


def moving(model: nn.Module) -> Training:
    """A training that is under way: its velocity is not zero."""
    start = start_training(model)
    generator = torch.Generator().manual_seed(2)
    velocity = {
        name: 0.1 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
        for name, weight in start.weights.items()
    }
    return Training(start.weights, velocity)


def outer_loss(model: nn.Module, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    images = torch.rand(5, 1, 2, 2, generator=generator, dtype=torch.float64)
    return F.cross_entropy(functional_call(model, weights, (images,)), torch.tensor([2, 1, 0, 1, 2]))


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_hypergradient_is_the_slope_of_the_outer_loss(model, rows, count, recompute):
    images, labels = rows

    def trained_loss(pixels: torch.Tensor) -> float:
        trained = train_naturally(model, moving(model), pixels, labels, batches(count), RECIPE)
        return float(outer_loss(model, trained.weights).detach())

    found = hypergradient(
        model, moving(model), images, labels, batches(count), RECIPE, lambda w: outer_loss(model, w), recompute
    )
    slopes = torch.zeros_like(images).flatten()
    for index in range(images.numel()):
        shift = torch.zeros_like(slopes)
        shift[index] = STEP
        shift = shift.reshape(images.shape)
        slopes[index] = (trained_loss(images + shift) - trained_loss(images - shift)) / (2 * STEP)
    torch.testing.assert_close(found.gradient.flatten(), slopes, rtol=1e-6, atol=1e-9)
    assert slopes.abs().max() > 1e-4
    assert found.loss == pytest.approx(trained_loss(images), rel=1e-12)


def test_recomputing_steps_changes_nothing(model, rows):
    images, labels = rows
    arguments = (model, moving(model), images, labels, batches(3), RECIPE, lambda w: outer_loss(model, w))
    kept, recomputed = hypergradient(*arguments), hypergradient(*arguments, recompute=True)
    assert torch.equal(kept.gradient, recomputed.gradient)
    assert kept.loss == recomputed.loss
    for name, weight in kept.training.weights.items():
        assert torch.equal(weight, recomputed.training.weights[name])


def test_rows_outside_the_batches_have_no_gradient(model, rows):
    images, labels = rows
    found = hypergradient(
        model, moving(model), images, labels, batches(1), RECIPE, lambda weights: outer_loss(model, weights)
    )
    assert torch.equal(found.gradient[[2, 5]], torch.zeros(2, 1, 2, 2, dtype=torch.float64))
    assert found.gradient[[0, 1, 3, 4]].abs().amin(0).max() > 0


@pytest.mark.parametrize(("count", "recipe"), [(0, RECIPE), (3, Recipe(learning_rate=0.0, momentum=0.9))])
def test_training_that_does_not_move_has_a_hypergradient_of_exactly_zero(model, rows, count, recipe):
    images, labels = rows
    start = moving(model)
    found = hypergradient(
        model, start, images, labels, batches(count), recipe, lambda weights: outer_loss(model, weights)
    )
    assert torch.equal(found.gradient, torch.zeros_like(images))
    assert all(torch.equal(weight, found.training.weights[name]) for name, weight in start.weights.items())


@pytest.mark.parametrize("recompute", [False, True])
def test_unrolled_training_is_sgd_as_torch_has_it(model, rows, recompute):
    images, labels = rows
    start = start_training(model)
    pixels = images.clone().requires_grad_()
    unrolled = unroll(model, start, pixels, labels, batches(3), RECIPE, recompute)
    plain = train_naturally(model, start, images, labels, batches(3), RECIPE)
    optimizer = torch.optim.SGD(
        model.parameters(), RECIPE.learning_rate, momentum=RECIPE.momentum, weight_decay=RECIPE.weight_decay
    )
    for chosen in batches(3):
        optimizer.zero_grad()
        F.cross_entropy(model(images[chosen]), labels[chosen], label_smoothing=RECIPE.label_smoothing).backward()
        optimizer.step()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(unrolled.weights[name], weight, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(plain.weights[name], weight, rtol=1e-12, atol=1e-14)


def test_recomputing_holds_fewer_numbers_for_the_way_back(rows):
    """Count what autograd keeps: without recomputing it grows with the steps' activations."""
    network = build_model(ArchitectureSettings(name="mlp", width=4), (2, 2, 1), 3, seed=0).double()
    images = rows[0].repeat(50, 1, 1, 1).requires_grad_()
    labels = rows[1].repeat(50)
    every_row = [torch.arange(len(labels))] * 3
    held: dict[bool, int] = {}
    for recompute in (False, True):
        kept: dict[int, int] = {}

        def note(tensor: torch.Tensor, kept: dict[int, int] = kept) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            trained = unroll(network, start_training(network), images, labels, every_row, RECIPE, recompute)
        held[recompute] = sum(kept.values())
        assert trained.weights["classifier.bias"].requires_grad
    assert held[True] < held[False] / 5


@pytest.mark.parametrize("name", ["convnet", "resnet-18", "preactresnet-18", "wrn-10-1"])
def test_network_with_batch_normalisation_is_refused(name):
    network = build_model(ArchitectureSettings(name=name), (8, 8, 1), 3, seed=0)
    with pytest.raises(
        DataError, match=f"expected a network whose training can be unrolled, got {name}: a step changes"
    ):
        check_unrollable(network, torch.rand(4, 1, 8, 8), name)


def test_network_with_dropout_is_refused():
    dropping = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 3))
    images, state = torch.ones(4, 1, 8, 8), torch.get_rng_state()
    with pytest.raises(DataError, match="two forwards differ, as with dropout"):
        check_unrollable(dropping, images, "mine")
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("name", ["mlp", "small-cnn"])
def test_network_without_either_can_be_unrolled_behind_a_normalisation_too(name):
    architecture = ArchitectureSettings(name=name, mean=(0.5,), std=(0.5,))
    check_unrollable(build_model(architecture, (8, 8, 1), 3, seed=0), torch.rand(4, 1, 8, 8), name)
