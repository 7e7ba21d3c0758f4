"""Adversarial training on PGD examples (Madry et al. 2018)."""

from __future__ import annotations

from functools import partial

import torch

from pumalib.attacks.objectives import cross_entropy
from pumalib.training.losses import BatchLoss, Step, smoothed_cross_entropy


def batch_loss(step: Step) -> BatchLoss:
    """Return the cross-entropy at the perturbed images; anti-adversarial ones where epsilon is negative."""
    perturbed = step.perturb(partial(cross_entropy, labels=step.labels))
    robust = smoothed_cross_entropy(step.model(perturbed.images), step, perturbed.kept)
    natural = torch.full_like(robust.detach(), torch.nan)
    return BatchLoss(robust, natural, robust.detach(), perturbed.epsilons, perturbed.kept)
