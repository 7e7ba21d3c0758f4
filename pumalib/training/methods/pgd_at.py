"""Adversarial training on PGD examples (Madry et al. 2018)."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812

from pumalib.attacks.objectives import cross_entropy
from pumalib.training.losses import BatchLoss, Step


def batch_loss(step: Step) -> BatchLoss:
    """Return the cross-entropy at the perturbed images; anti-adversarial ones where epsilon is negative."""
    adversarial = step.attack.perturb(
        step.model,
        step.images,
        step.labels,
        step.epsilons,
        partial(cross_entropy, labels=step.labels),
        step.generator,
    )
    robust = F.cross_entropy(step.model(adversarial), step.labels, label_smoothing=step.label_smoothing)
    return BatchLoss(robust, torch.full_like(robust.detach(), torch.nan), robust.detach())
