"""Natural training as a function of its images: unrolled steps of SGD, and the hypergradient through them.

With ``theta_{k+1} = theta_k - eta v_{k+1}`` and ``v_{k+1} = mu v_k + grad CE(theta_k; S_k) + lambda theta_k`` (SGD as
torch has it), the weights after K steps are a differentiable function of the pixels of the rows in the batches
S_0..S_{K-1}.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from pumalib.errors import DataError

Weights = dict[str, Tensor]
"""Parameters, or one value for each of them, by name."""


@dataclass(frozen=True)
class Recipe:
    """How networks are trained on the images that are learned.

    Attributes:
        learning_rate: eta, at least 0.
        momentum: mu in [0, 1).
        weight_decay: lambda, at least 0.
        label_smoothing: in [0, 1).
    """

    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0


@dataclass(frozen=True)
class Training:
    """Where a training stands.

    Attributes:
        weights: theta.
        velocity: v, the accumulated gradients; zeros before the first step.
    """

    weights: Weights
    velocity: Weights

    def detached(self) -> Training:
        """Return the same values without their history, and ready to be differentiated by."""
        weights = {name: weight.detach().requires_grad_() for name, weight in self.weights.items()}
        return Training(weights, {name: velocity.detach() for name, velocity in self.velocity.items()})


def start_training(model: nn.Module) -> Training:
    """Return a training that stands at a copy of the model's weights."""
    weights = {name: weight.detach().clone().requires_grad_() for name, weight in model.named_parameters()}
    return Training(weights, {name: torch.zeros_like(weight) for name, weight in weights.items()})


def check_unrollable(model: nn.Module, images: Tensor, name: str) -> None:
    """Refuse a network whose training step is not a function of weights and images alone.

    Batch normalisation keeps statistics that a step changes on the side, and dropout draws random numbers.

    Args:
        model: in train mode.
        images: [B, C, H, W] float, a few images to try it on.
        name: what to call the network in the error.

    Raises:
        DataError: a forward changes a buffer, or two forwards differ.
    """
    before = {key: buffer.clone() for key, buffer in model.named_buffers()}
    with torch.no_grad(), torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        first, second = model(images), model(images)
    changed = [key for key, buffer in model.named_buffers() if not torch.equal(buffer, before[key])]
    if changed or not torch.equal(first, second):
        reason = f"a step changes {changed[0]} on the side" if changed else "two forwards differ, as with dropout"
        raise DataError(
            f"expected a network whose training can be unrolled, got {name}: {reason}; use one without batch "
            "normalisation and dropout, such as mlp or small-cnn"
        )


def training_step(
    model: nn.Module, training: Training, images: Tensor, labels: Tensor, recipe: Recipe, create_graph: bool
) -> Training:
    """Take one step of natural training.

    Args:
        model: the network; its own parameters play no part.
        training: where it stands; its weights ask for gradients.
        images: [B, C, H, W] float in [0, 1].
        labels: [B] int64.
        recipe: how to train.
        create_graph: whether the new weights are to be differentiable by the old ones and by the images.
    """
    logits = functional_call(model, training.weights, (images,))  # [B, K]
    loss = F.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    gradients = torch.autograd.grad(loss, list(training.weights.values()), create_graph=create_graph)
    weights, velocity = {}, {}
    # v_{k+1} = mu v_k + grad + lambda theta_k; theta_{k+1} = theta_k - eta v_{k+1}. Out of place: in-place updates
    # would overwrite what the way back needs.
    for (name, weight), gradient in zip(training.weights.items(), gradients, strict=True):
        slope = gradient + recipe.weight_decay * weight if recipe.weight_decay else gradient
        velocity[name] = recipe.momentum * training.velocity[name] + slope
        weights[name] = weight - recipe.learning_rate * velocity[name]
    return Training(weights, velocity)


def train_naturally(
    model: nn.Module,
    training: Training,
    images: Tensor,
    labels: Tensor,
    batches: Sequence[Tensor],
    recipe: Recipe,
) -> Training:
    """Train on the given batches and keep no graph.

    Args:
        model: the network; its own parameters play no part.
        training: where it stands.
        images: [N, C, H, W] float in [0, 1].
        labels: [N] int64.
        batches: rows [B] int64 of each step.
        recipe: how to train.
    """
    training = training.detached()
    # Invariant: `training` has no history. A turn is one step; its graph ends with it.
    for rows in batches:
        training = training_step(model, training, images[rows], labels[rows], recipe, create_graph=False).detached()
    return training


def unroll(
    model: nn.Module,
    training: Training,
    images: Tensor,
    labels: Tensor,
    batches: Sequence[Tensor],
    recipe: Recipe,
    recompute: bool = False,
) -> Training:
    """Train on the given batches, differentiably by the images.

    Args:
        model: the network; its own parameters play no part.
        training: where it stands.
        images: [R, C, H, W] float in [0, 1], asking for gradients.
        labels: [R] int64.
        batches: rows [B] int64 of each step, counted among the R.
        recipe: how to train.
        recompute: keep the weights of each step alone, and compute the step again on the way back: the memory of one
            step and K sets of weights instead of K steps.
    """
    # Only these steps are differentiated: what came before is a constant (truncated unrolling).
    training = training.detached()
    # Invariant: `training` is a differentiable function of `images`. A turn adds one step to the graph, or one
    # checkpoint.
    for rows in batches:
        if recompute:
            training = checkpoint(
                training_step, model, training, images[rows], labels[rows], recipe, True, use_reentrant=False
            )
        else:
            training = training_step(model, training, images[rows], labels[rows], recipe, create_graph=True)
    return training


@dataclass(frozen=True)
class Hypergradient:
    """What one unrolled training gives.

    Attributes:
        gradient: [R, C, H, W], of the outer loss by the pixels; zeros where they had no influence.
        loss: the outer loss.
        training: where the training stands afterwards, detached.
    """

    gradient: Tensor
    loss: float
    training: Training


def hypergradient(
    model: nn.Module,
    training: Training,
    images: Tensor,
    labels: Tensor,
    batches: Sequence[Tensor],
    recipe: Recipe,
    outer_loss: Callable[[Weights], Tensor],
    recompute: bool = False,
) -> Hypergradient:
    """Differentiate an outer loss of the trained weights by the pixels they were trained on.

    Args:
        model: the network; its own parameters play no part.
        training: where it stands.
        images: [R, C, H, W] float in [0, 1].
        labels: [R] int64.
        batches: rows [B] int64 of each step, counted among the R.
        recipe: how to train.
        outer_loss: maps weights to a scalar.
        recompute: see `unroll`.
    """
    pixels = images.detach().requires_grad_()  # [R, C, H, W], the leaf
    trained = unroll(model, training, pixels, labels, batches, recipe, recompute)
    loss = outer_loss(trained.weights)  # a scalar
    # None where no step used the pixels, as with no batches.
    (gradient,) = torch.autograd.grad(loss, pixels, allow_unused=True)  # [R, C, H, W]
    return Hypergradient(
        torch.zeros_like(images) if gradient is None else gradient, float(loss.detach()), trained.detached()
    )
