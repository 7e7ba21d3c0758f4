"""Tracked quantities against closed forms on a linear softmax model, and against one backward pass per row."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from torch import Tensor, nn

from pumalib.errors import DataError
from pumalib.models.checks import in_eval_mode
from pumalib.tracks.settings import GradientNorm
from pumalib.training.quantities import aign, correct, el2n, grand, loss
from pumalib.training.seen_batch import SeenBatch

Batch = tuple[nn.Module, Tensor, Tensor]


@pytest.fixture
def linear() -> Batch:
    """Return a linear model of [B, 1, 2, 3] images in four classes, and a batch."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4)).eval()
    return model, torch.rand(9, 1, 2, 3), torch.randint(4, (9,))


@pytest.fixture
def deep() -> Batch:
    """Return a network with convolutions, BatchNorm of some age and an unused dropout, and a batch."""
    torch.manual_seed(1)
    layers = [
        nn.Conv2d(2, 3, 3),
        nn.BatchNorm2d(3),
        nn.ReLU(inplace=True),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(12, 3),
    ]
    model = nn.Sequential(*layers)
    images = torch.rand(7, 2, 4, 4)
    for _ in range(3):
        model(images)
    return model.eval(), images, torch.randint(3, (7,))


def errors(batch: Batch) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return softmax - onehot, the weight matrix and the flat images, by NumPy."""
    model, images, labels = batch
    weight, bias = (parameter.detach().double().numpy() for parameter in model.parameters())
    flat = images.flatten(1).double().numpy()
    exponentials = np.exp(flat @ weight.T + bias)
    return exponentials / exponentials.sum(1, keepdims=True) - np.eye(4)[labels.numpy()], weight, flat


def test_el2n_is_the_length_of_the_error_vector(linear: Batch) -> None:
    np.testing.assert_allclose(el2n.measure(SeenBatch(*linear)), np.linalg.norm(errors(linear)[0], axis=1), rtol=1e-5)


def test_loss_is_minus_the_log_probability_of_the_label(linear: Batch) -> None:
    labels = linear[2].numpy()
    probabilities = errors(linear)[0][np.arange(9), labels] + 1
    np.testing.assert_allclose(loss.measure(SeenBatch(*linear)), -np.log(probabilities), rtol=1e-5)


def test_correct_is_whether_the_largest_probability_is_the_label_s(linear: Batch) -> None:
    found = correct.measure(SeenBatch(*linear))
    probabilities = errors(linear)[0] + np.eye(4)[linear[2].numpy()]
    assert found.dtype == torch.bool
    assert found.tolist() == (probabilities.argmax(1) == linear[2].numpy()).tolist()
    assert 0 < found.sum() < 9


@pytest.mark.parametrize(("norm", "order"), [("l2", 2), ("l1", 1), ("linf", np.inf)])
def test_aign_of_a_linear_model_is_the_error_vector_through_the_weights(
    linear: Batch, norm: GradientNorm, order: float
) -> None:
    error, weight, _ = errors(linear)
    expected = np.linalg.norm(error @ weight, ord=order, axis=1)
    np.testing.assert_allclose(aign.measure(SeenBatch(*linear), norm), expected, rtol=1e-5)


def test_aign_is_in_l2_unless_asked_otherwise(linear: Batch) -> None:
    assert torch.equal(aign.measure(SeenBatch(*linear)), aign.measure(SeenBatch(*linear), "l2"))


def test_the_l1_norm_is_the_slope_of_the_loss_against_a_small_linf_perturbation(deep: Batch) -> None:
    """Finite differences along the sign of the gradient, in double precision."""
    model, images, labels = deep[0].double(), deep[1].double(), deep[2]
    inputs = images.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(F.cross_entropy(model(inputs), labels, reduction="sum"), inputs)
    step = 1e-6 * gradient.sign()
    up, down = (F.cross_entropy(model(images + sign * step), labels, reduction="none") for sign in (1, -1))
    slope = (up - down).detach() / 2e-6
    np.testing.assert_allclose(aign.measure(SeenBatch(model, images, labels), "l1"), slope, rtol=1e-5)


def test_grand_of_a_linear_model_is_the_error_s_length_times_that_of_image_and_one(linear: Batch) -> None:
    error, _, flat = errors(linear)
    expected = np.linalg.norm(error, axis=1) * np.sqrt((flat**2).sum(1) + 1)
    np.testing.assert_allclose(grand.measure(SeenBatch(*linear)), expected, rtol=1e-5)


def test_grand_is_what_one_backward_pass_a_row_gives(deep: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    model, images, labels = deep
    expected = []
    for image, label in zip(images, labels, strict=True):
        gradients = torch.autograd.grad(F.cross_entropy(model(image[None]), label[None]), list(model.parameters()))
        expected.append(float(torch.cat([gradient.flatten() for gradient in gradients]).norm()))
    np.testing.assert_allclose(grand.measure(SeenBatch(*deep)), expected, rtol=1e-4)
    monkeypatch.setattr(grand, "_GRADIENT_NUMBERS", 1)
    np.testing.assert_allclose(grand.measure(SeenBatch(*deep)), expected, rtol=1e-4)


def test_aign_is_what_one_backward_pass_a_row_gives(deep: Batch) -> None:
    model, images, labels = deep
    expected = []
    for image, label in zip(images, labels, strict=True):
        row = image[None].clone().requires_grad_(True)
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(row), label[None]), row)
        expected.append(float(gradient.norm()))
    np.testing.assert_allclose(aign.measure(SeenBatch(*deep)), expected, rtol=1e-4)


class Branching(nn.Module):
    """A network that looks at a value before it decides how to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layer(images.flatten(1))
        return logits if logits.sum() > 0 else 2 * logits


def test_grand_says_so_where_a_network_cannot_be_followed(linear: Batch) -> None:
    look = SeenBatch(Branching(), *linear[1:])
    with pytest.raises(DataError, match=r"vmap can follow, as the tracked quantity grand needs, .*Leave grand out"):
        grand.measure(look)


@pytest.mark.parametrize("quantity", [aign, correct, el2n, grand, loss])
def test_a_quantity_leaves_the_model_and_the_batch_as_they_were(quantity: object, deep: Batch) -> None:
    model, images, labels = deep
    next(model.parameters()).requires_grad_(False)
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    before = {name: value.clone() for name, value in model.state_dict().items()}, images.clone()
    measured = quantity.measure(SeenBatch(model, images, labels))  # type: ignore[attr-defined]
    assert measured.shape == (7,)
    assert not measured.requires_grad
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[0][name], value) for name, value in model.state_dict().items())
    assert torch.equal(images, before[1])
    assert not images.requires_grad


def test_every_module_is_in_its_own_mode_again_after_eval_mode(deep: Batch) -> None:
    model = deep[0].train()
    model[1].eval()  # type: ignore[index]
    with in_eval_mode(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model] == [True, False, True, True, True, True]  # type: ignore[attr-defined]
