"""Guidance towards the decision boundary, from the side of the label, which asks for nothing beyond it.

A choice of ours, as boundary-guided diffusion does with a classifier (e.g. LCG-KM, arXiv 2501.10466). An image that the
model gives another class than its label is left as it is, so that nothing rewards a wrong label.
"""

from __future__ import annotations

import torch
from torch import Tensor


def energy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return what is increased: minus the lead of the label's logit over all others, 0 where it has none.

    Args:
        logits: [B, K].
        labels: [B] int64.

    Returns:
        [B], at most 0.
    """
    own = logits.gather(1, labels[:, None])[:, 0]  # [B]
    others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)  # [B]
    return -(own - others).relu()
