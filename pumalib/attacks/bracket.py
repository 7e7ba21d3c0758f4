"""Where a segment crosses a boundary: ITP root finding (Oliveira & Takahashi 2021), row by row.

The secant through both ends, moved a little toward the middle so that the bracket closes from either side: a few
looks where the gap is nearly linear, and never more than one beyond as many halvings.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_TRUNCATION = 0.05
_SLACK_STEPS = 1

Look = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Maps (rows [R], shares [R] of their segments) to (gaps [R], [R] bool whether the point is across)."""


def close_bracket(look: Look, gap_low: Tensor, gap_high: Tensor, halvings: int) -> None:
    """Look at points of each row's segment, from 0 (not across) to 1 (across), until its crossing is enclosed.

    Args:
        look: what is asked; it keeps what it needs of the points that are across.
        gap_low: [R] float, the gap at 0, negative where not across.
        gap_high: [R] float, the gap at 1.
        halvings: the bracket ends at most ``2 ** -halvings`` of the segment wide.
    """
    low, high = torch.zeros_like(gap_low), torch.ones_like(gap_high)  # [R], [R], shares of the segment
    half_width = 2.0 ** -(halvings + 1)  # epsilon of ITP
    rows = torch.arange(len(low), device=low.device)  # [A]
    # Invariant: `low` was not across and `high` was; each gap belongs to its end. A turn looks at one point between
    # them and replaces the end on its side. A row leaves when its bracket is narrow enough. The gaps given are changed
    # in place.
    for index in range(halvings + _SLACK_STEPS if halvings else 0):
        rows = rows[(high - low)[rows] > 2 * half_width]  # [A]
        if len(rows) == 0:
            break
        spare = half_width * 2.0 ** (halvings + _SLACK_STEPS - index)  # epsilon 2^(n_max - j)
        share = _next_share(low[rows], high[rows], gap_low[rows], gap_high[rows], half_width, spare)  # [A]
        gap, across = look(rows, share)  # [A], [A]
        # The side is what the look says, not the sign of the gap: a gap within rounding is not across.
        low[rows] = torch.where(across, low[rows], share)
        high[rows] = torch.where(across, share, high[rows])
        gap_low[rows] = torch.where(across, gap_low[rows], gap)
        gap_high[rows] = torch.where(across, gap, gap_high[rows])


def _next_share(
    low: Tensor, high: Tensor, gap_low: Tensor, gap_high: Tensor, half_width: float, spare: float
) -> Tensor:
    """Interpolate, truncate, project."""
    width, middle = high - low, (low + high) / 2  # [A], [A]; the middle is x_1/2
    climb = (gap_high - gap_low).clamp_min(torch.finfo(low.dtype).tiny)  # [A]; a flat gap must not divide by 0
    secant = torch.minimum(torch.maximum(low - width * gap_low / climb, low), high)  # [A], x_f
    # delta = kappa_1 width^2, but at least a quarter of the final width (a choice of ours).
    truncation = (_TRUNCATION * width.square()).clamp_min(half_width / 2)  # [A], delta
    toward = (middle - secant).sign()  # [A], sigma
    truncated = torch.where(truncation <= (middle - secant).abs(), secant + toward * truncation, middle)  # [A], x_t
    # Projection onto [x_1/2 - r, x_1/2 + r]: what keeps the worst case at n_max looks.
    radius = spare - width / 2  # [A], r
    return torch.where((truncated - middle).abs() <= radius, truncated, middle - toward * radius)
