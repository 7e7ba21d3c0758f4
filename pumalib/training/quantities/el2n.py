"""EL2N: the length of each row's error vector (Paul et al. 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pumalib.training.seen_batch import SeenBatch


def measure(batch: SeenBatch) -> Tensor:
    """Return ``||softmax f(x) - onehot(y)||_2``, [B] in [0, sqrt 2]."""
    probabilities = batch.logits.softmax(1)
    errors = probabilities - F.one_hot(batch.labels, probabilities.shape[1])
    norms: Tensor = torch.linalg.vector_norm(errors, dim=1)
    return norms
