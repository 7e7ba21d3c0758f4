"""Where an online policy starts. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pumalib.training.online.settings import IaatEpsilon, OnlineEpsilonSettings

if TYPE_CHECKING:
    import torch


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


def starting_epsilon(policy: OnlineEpsilonSettings, threat_epsilon: float) -> float:
    """Return the epsilon of every row at first: the cap of `online_margin` and `cat`, that of the warm-up of `iaat`."""
    cap = policy.cap or threat_epsilon
    return min(cap, threat_epsilon) if isinstance(policy, IaatEpsilon) else cap
