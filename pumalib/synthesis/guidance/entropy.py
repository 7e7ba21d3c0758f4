"""Guidance towards images that a model is unsure of.

Sources: Hemmat et al. 2023, "Feedback-guided Data Synthesis for Imbalanced Classification"; Askari-Hemmat et al. 2025,
"Improving the Scaling Laws of Synthetic Data with Deliberate Practice". Both increase the entropy of the classifier's
prediction while they sample.
"""

from __future__ import annotations

from torch import Tensor


def energy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return what is increased: the entropy of the predicted classes, in nats.

    Args:
        logits: [B, K].
        labels: [B] int64, not used.

    Returns:
        [B], from 0 to ln K.
    """
    logarithms = logits.log_softmax(1)  # [B, K]
    return -(logarithms.exp() * logarithms).sum(1)
