"""AIGN: the norm of each row's input gradient, to be averaged over epochs (EasyCore)."""

from __future__ import annotations

import torch
from torch import Tensor

from pumalib.attacks.objectives import cross_entropy
from pumalib.models.checks import frozen_parameters
from pumalib.training.look import Look


def measure(look: Look) -> Tensor:
    """Return ``||grad_x CE(f(x), y)||_2``, [B], per unit of pixel scale [0, 1]."""
    inputs = look.inputs.detach().requires_grad_(True)
    with frozen_parameters(look.model):
        (gradient,) = torch.autograd.grad(cross_entropy(look.model(inputs), look.labels).sum(), inputs)
    norms: Tensor = torch.linalg.vector_norm(gradient.flatten(1), dim=1)
    return norms
