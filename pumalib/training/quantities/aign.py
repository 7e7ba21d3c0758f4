"""AIGN: the norm of each row's input gradient, to be averaged over epochs (EasyCore)."""

from __future__ import annotations

import torch
from torch import Tensor

from pumalib.attacks.objectives import cross_entropy
from pumalib.models.checks import frozen_parameters
from pumalib.tracks.settings import GradientNorm
from pumalib.training.seen_batch import SeenBatch

_ORDERS: dict[GradientNorm, float] = {"l2": 2, "l1": 1, "linf": torch.inf}


def measure(batch: SeenBatch, norm: GradientNorm = "l2") -> Tensor:
    """Return ``||grad_x CE(f(x), y)||``, [B], per unit of pixel scale [0, 1].

    Args:
        batch: the batch.
        norm: of the gradient, over all pixels and channels. L2 is a choice of ours: EasyCore's abstract names none.
    """
    inputs = batch.inputs.detach().requires_grad_(True)
    with frozen_parameters(batch.model):
        (gradient,) = torch.autograd.grad(cross_entropy(batch.model(inputs), batch.labels).sum(), inputs)
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), ord=_ORDERS[norm], dim=1)
    return norms
