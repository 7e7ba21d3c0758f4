"""Whether each row is classified correctly."""

from __future__ import annotations

from torch import Tensor

from pumalib.training.seen_batch import SeenBatch


def measure(batch: SeenBatch) -> Tensor:
    """Return [B] bool, whether the prediction is the label."""
    return batch.logits.argmax(1) == batch.labels
