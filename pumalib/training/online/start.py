"""What an online policy is made from, beside its settings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


@dataclass(frozen=True)
class Start:
    """What training starts from.

    Attributes:
        epsilons: [K] float32, above 0: of the selected rows, pixel scale.
        threat_epsilon: of the threat, pixel scale.
        draws_per_epoch: rows drawn in an epoch.
        device: where batches are.
    """

    epsilons: NDArray[np.float32]
    threat_epsilon: float
    draws_per_epoch: int
    device: torch.device
