"""Which rows of a batch Selective Adversarial Training attacks (Ye et al. 2025).

The paper speaks of rows near the decision boundary; the code of its authors draws them without replacement, a row with
a chance in proportion to 1 / |logit margin|. So does this. Theirs weighs the loss of clean images anew; here a row that
is not attacked stands at its image in the loss of the method, with no term of its own (a choice of ours).
"""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST_MARGIN = 1e-6
"""Added to each |margin|, as the authors do."""


def draw_near(margins: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw rows without replacement, each with a chance in proportion to 1 / |margin|.

    Args:
        margins: [B] float, logit of the label minus the largest other; the sign does not count.
        count: rows to draw.
        generator: on the margins' device.

    Returns:
        [B] bool, True for `count` rows.

    Source: Gumbel noise on log weights, the largest of the sums (Efraimidis & Spirakis 2006, Kool et al. 2019).
    """
    uniform = torch.rand(len(margins), generator=generator, device=margins.device).clamp_(1e-12, 1 - 1e-7)
    keys = -(margins.abs() + _LEAST_MARGIN).log() - (-uniform.log()).log()
    return torch.zeros_like(margins, dtype=torch.bool).scatter_(0, keys.topk(count).indices, True)
