"""What attacks maximise, one number per row."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def cw_margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``max_{j != y} z_j - z_y``, positive where the prediction is wrong (Carlini & Wagner 2017).

    The true class is masked with -inf; multiplying it away would be wrong for negative logits.

    Args:
        logits: [B, K].
        labels: [B] int64.

    Returns:
        [B] float.
    """
    true = logits.gather(1, labels[:, None]).squeeze(1)
    others = logits.scatter(1, labels[:, None], -torch.inf)
    return others.amax(1) - true


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of each row, [B]."""
    return F.cross_entropy(logits, labels, reduction="none")


def log_odds_against(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``log((1 - p_y) / p_y)`` of each row, [B]: the cross-entropy for steepest ascent.

    It grows with the cross-entropy, so its gradient has the same direction, but it does not saturate: in float32 the
    cross-entropy's gradient loses the label's part when the label leads by 17, and is 0 when it leads by 104.
    """
    true = logits.gather(1, labels[:, None]).squeeze(1)
    return logits.scatter(1, labels[:, None], -torch.inf).logsumexp(1) - true


def divergence(logits: Tensor, clean_logits: Tensor) -> Tensor:
    """Return ``KL(softmax clean_logits || softmax logits)`` of each row, [B] (TRADES, Zhang et al. 2019)."""
    return divergence_from(F.log_softmax(clean_logits, 1), logits)


def divergence_from(log_probabilities: Tensor, logits: Tensor) -> Tensor:
    """Return ``KL(p || softmax logits)`` of each row, [B], for log probabilities [B, K] that many logits share."""
    return F.kl_div(F.log_softmax(logits, 1), log_probabilities, reduction="none", log_target=True).sum(1)
