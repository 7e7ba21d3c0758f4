"""Natural training: no perturbation."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from pumalib.training.losses import BatchLoss, Step


def batch_loss(step: Step) -> BatchLoss:
    """Return the cross-entropy of the clean images; epsilons play no part."""
    logits = step.model(step.images)
    natural = F.cross_entropy(logits, step.labels, label_smoothing=step.label_smoothing)
    return BatchLoss(natural, natural.detach(), torch.zeros_like(natural.detach()), logits.argmax(1) != step.labels)
