"""Whether each row is classified correctly."""

from __future__ import annotations

from torch import Tensor

from pumalib.training.look import Look


def measure(look: Look) -> Tensor:
    """Return [B] bool, whether the prediction is the label."""
    return look.logits.argmax(1) == look.labels
