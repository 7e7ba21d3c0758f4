"""TRADES (Zhang et al. 2019): ``CE_smooth(f(x), y) + beta KL(softmax f(x) || softmax f(x'))``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pumalib.attacks.objectives import divergence, divergence_from
from pumalib.training.losses import BatchLoss, Step, cross_entropy_of_rows, mean_over, smoothed_cross_entropy
from pumalib.training.settings import TradesSettings


def batch_loss(step: Step, settings: TradesSettings) -> BatchLoss:
    """Return the loss, with the gradient through both terms.

    The outer step makes two forwards, clean then perturbed, and both update BatchNorm's running statistics. Between
    them the attack maximises the KL against the clean prediction held fixed. By the statistics of the batch that is
    the one just made; in eval mode it takes a forward of its own.
    """
    clean_logits = step.model(step.images)
    fixed = clean_logits.detach()
    if step.attack.in_eval_mode:
        with torch.no_grad(), step.attack.looking_at(step.model):
            fixed = step.model(step.images)
    perturbed = step.perturb(attack_objective(fixed, step.labels), fixed if step.attack.in_eval_mode else None)
    natural = smoothed_cross_entropy(clean_logits, step, perturbed.kept, perturbed.targets)
    logits = step.model(perturbed.images)
    divergences = divergence(logits, clean_logits)
    robust = mean_over(divergences, step, perturbed.kept)
    total = natural + settings.beta * robust
    wrong = logits.argmax(1) != step.labels
    of_rows = None
    if step.weights is not None:
        of_rows = cross_entropy_of_rows(clean_logits.detach(), step) + settings.beta * divergences.detach()
    return BatchLoss(total, natural.detach(), robust.detach(), wrong, perturbed.epsilons, perturbed.kept, of_rows)


def attack_objective(clean_logits: Tensor, labels: Tensor) -> Callable[[Tensor], Tensor]:
    """Return what the inner attack maximises: the KL against clean logits [B, K] held fixed; labels play no part."""
    return partial(divergence_from, F.log_softmax(clean_logits, 1))
