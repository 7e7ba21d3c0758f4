"""Natural training: no perturbation."""

from __future__ import annotations

import torch

from pumalib.training.losses import BatchLoss, Step, smoothed_cross_entropy
from pumalib.training.settings import NaturalSettings


def batch_loss(step: Step, settings: NaturalSettings) -> BatchLoss:
    """Return the cross-entropy of the clean images; epsilons play no part."""
    logits = step.model(step.images)
    natural = smoothed_cross_entropy(logits, step, None)
    return BatchLoss(natural, natural.detach(), torch.zeros_like(natural.detach()), logits.argmax(1) != step.labels)
