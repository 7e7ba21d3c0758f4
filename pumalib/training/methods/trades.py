"""TRADES (Zhang et al. 2019): ``CE_smooth(f(x), y) + beta KL(softmax f(x) || softmax f(x'))``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pumalib.attacks.objectives import divergence
from pumalib.training.batch_norm import unrecorded_statistics
from pumalib.training.losses import BatchLoss, Step


def batch_loss(step: Step) -> BatchLoss:
    """Return the loss, with the gradient through both terms.

    The attack maximises the KL against the clean prediction held fixed. The outer step makes two forwards, clean
    then perturbed, and both update BatchNorm's running statistics.
    """
    with torch.no_grad(), unrecorded_statistics(step.model):
        fixed = step.model(step.images)
    adversarial = step.attack.perturb(
        step.model,
        step.images,
        step.labels,
        step.epsilons,
        attack_objective(fixed, step.labels),
        step.generator,
    )
    clean_logits = step.model(step.images)
    natural = F.cross_entropy(clean_logits, step.labels, label_smoothing=step.label_smoothing)
    logits = step.model(adversarial)
    robust = divergence(logits, clean_logits).mean()
    total = natural + step.beta * robust
    return BatchLoss(total, natural.detach(), robust.detach(), logits.argmax(1) != step.labels)


def attack_objective(clean_logits: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what the inner attack maximises: the KL against clean logits [B, K] held fixed; labels play no part."""
    return partial(divergence, clean_logits=clean_logits)
