"""What one step of any training method gets and gives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pumalib.training.inner_attack import InnerAttack


@dataclass(frozen=True)
class Step:
    """One batch and all that a loss may need.

    Attributes:
        model: in train mode.
        images: [B, C, H, W] float in [0, 1], augmented.
        labels: [B] int64.
        epsilons: [B] float, signed radii.
        attack: the inner attack.
        generator: source of randomness on the images' device.
        label_smoothing: of the natural term.
        beta: weight of the robust term of TRADES.
    """

    model: nn.Module
    images: Tensor
    labels: Tensor
    epsilons: Tensor
    attack: InnerAttack
    generator: torch.Generator
    label_smoothing: float
    beta: float


@dataclass(frozen=True)
class BatchLoss:
    """The loss of a batch: scalars, and what became of each row.

    Attributes:
        total: what is minimised.
        natural: cross-entropy on clean images; nan where the method never looks at them (`pgd_at`).
        robust: the robust term, unweighted; 0 for natural training.
        wrong: [B] bool, misclassified at the perturbed image (`natural`: at the image), in train mode.
    """

    total: Tensor
    natural: Tensor
    robust: Tensor
    wrong: Tensor
