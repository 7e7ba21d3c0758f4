"""TRADES (Zhang et al. 2019): ``CE_smooth(f(x), y) + beta KL(softmax f(x) || softmax f(x'))``."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812

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
        partial(divergence, clean_logits=fixed),
        step.generator,
    )
    clean_logits = step.model(step.images)
    natural = F.cross_entropy(clean_logits, step.labels, label_smoothing=step.label_smoothing)
    robust = divergence(step.model(adversarial), clean_logits).mean()
    return BatchLoss(natural + step.beta * robust, natural.detach(), robust.detach())
