"""Adversarial training on PGD examples (Madry et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pumalib.attacks.objectives import cross_entropy
from pumalib.training.losses import BatchLoss, Step


def batch_loss(step: Step) -> BatchLoss:
    """Return the cross-entropy at the perturbed images; anti-adversarial ones where epsilon is negative."""
    adversarial = step.attack.perturb(
        step.model,
        step.images,
        step.labels,
        step.epsilons,
        attack_objective(None, step.labels),
        step.generator,
    )
    logits = step.model(adversarial)
    robust = F.cross_entropy(logits, step.labels, label_smoothing=step.label_smoothing)
    natural = torch.full_like(robust.detach(), torch.nan)
    return BatchLoss(robust, natural, robust.detach(), logits.argmax(1) != step.labels)


def attack_objective(clean_logits: Tensor | None, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what the inner attack maximises: the cross-entropy; clean logits [B, K] play no part."""
    return partial(cross_entropy, labels=labels)
