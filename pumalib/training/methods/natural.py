"""Natural training: no perturbation."""

from __future__ import annotations

import torch

from pumalib.training.losses import BatchLoss, Step, cross_entropy_of_rows, smoothed_cross_entropy
from pumalib.training.settings import NaturalSettings


def batch_loss(step: Step, settings: NaturalSettings) -> BatchLoss:
    """Return the cross-entropy of the clean images; epsilons play no part."""
    logits = step.model(step.images)
    natural = smoothed_cross_entropy(logits, step, None)
    of_rows = None if step.weights is None else cross_entropy_of_rows(logits.detach(), step)
    none, wrong = torch.zeros_like(natural.detach()), logits.argmax(1) != step.labels
    return BatchLoss(natural, natural.detach(), none, wrong, of_rows=of_rows)
