"""Adversarial training on PGD examples (Madry et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from pumalib.attacks.objectives import cross_entropy
from pumalib.training.losses import BatchLoss, Step, cross_entropy_of_rows, smoothed_cross_entropy
from pumalib.training.settings import PgdAtSettings


def batch_loss(step: Step, settings: PgdAtSettings) -> BatchLoss:
    """Return the cross-entropy at the perturbed images; anti-adversarial ones where epsilon is negative."""
    perturbed = step.perturb(attack_objective(None, step.labels))
    logits = step.model(perturbed.images)
    robust = smoothed_cross_entropy(logits, step, perturbed.kept, perturbed.targets)
    natural = torch.full_like(robust.detach(), torch.nan)
    wrong = logits.argmax(1) != step.labels
    of_rows = None if step.weights is None else cross_entropy_of_rows(logits.detach(), step)
    return BatchLoss(robust, natural, robust.detach(), wrong, perturbed.epsilons, perturbed.kept, of_rows)


def attack_objective(clean_logits: Tensor | None, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what the inner attack maximises: the cross-entropy; clean logits [B, K] play no part."""
    return partial(cross_entropy, labels=labels)
