"""The loss of each row."""

from __future__ import annotations

from torch import Tensor

from pumalib.attacks.objectives import cross_entropy
from pumalib.training.seen_batch import SeenBatch


def measure(batch: SeenBatch) -> Tensor:
    """Return the cross-entropy, [B] in nats, without label smoothing."""
    return cross_entropy(batch.logits, batch.labels)
