"""The minimum of the logistic loss of robust margins with a small penalty, by projected Newton steps.

    min_z  mean_i log(1 + exp(-(A z)_i)) + penalty ||z||^2 / 2,   z >= 0 where it is split (see `robust_rows`).

Coordinates at 0 that the gradient pushes below it stay there; the others take a Newton step, cut at 0 and shortened
until the loss falls enough (Bertsekas, SIAM J. Control and Optimization 20, 1982).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from pumalib.perceptron.robust_rows import RobustRows

_ENOUGH = 1e-4
"""Share of the fall that the gradient promises (Armijo)."""
_HALVINGS = 40
_LIGHT = 1e-6
"""Rows whose part in the curvature is smaller than this share of the largest are left out of it, which saves most of
the work near a hard margin. The step then differs a little from Newton's; the decrement comes out too large, not small.
"""


class Minimum(NamedTuple):
    """Where the steps ended.

    Attributes:
        point: [D], z.
        is_converged: whether half the squared Newton decrement is at most the tolerance times the loss.
    """

    point: Tensor
    is_converged: bool


def minimise_logistic(rows: RobustRows, penalty: float, steps: int, tolerance: float) -> Minimum:
    """Descend from z = 0 to the minimum, of which there is one.

    Args:
        rows: N of them.
        penalty: above 0.
        steps: at most.
        tolerance: by how much the loss is above its minimum at the end, relative to it: by half the squared Newton
            decrement (Boyd and Vandenberghe, Convex Optimization, 9.5.1).
    """
    point = rows.new_full(rows.size, 0.0)
    for _ in range(steps):
        loss, gradient, change = _newton_step(rows, point, penalty)
        if change is None:
            break
        if -gradient @ change / 2 <= tolerance * loss:
            return Minimum(point, True)
        lower = _descend(rows, point, change, gradient, loss, penalty)
        if lower is None:
            break
        point = lower
    return Minimum(point, False)


def _loss(rows: RobustRows, point: Tensor, penalty: float) -> Tensor:
    return softplus(-rows.margins(point)).mean() + penalty * point.square().sum() / 2


def _newton_step(rows: RobustRows, point: Tensor, penalty: float) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the loss, its gradient [D], and the step [D]: 0 for coordinates that stay at 0.

    There is no step where the penalty is so small that rounding makes the curvature singular.
    """
    wrong = torch.sigmoid(-rows.margins(point))
    gradient = penalty * point - rows.pull(wrong) / len(rows)
    free = torch.nonzero(_is_free(rows, point, gradient))[:, 0]
    weight = wrong * (1 - wrong) / len(rows)
    heavy = torch.nonzero(weight > _LIGHT * weight.max())[:, 0]
    part = rows.part(heavy, free)
    curvature = part.T @ (part * weight[heavy, None])
    curvature.diagonal().add_(penalty)
    factor, failed = torch.linalg.cholesky_ex(curvature)
    if failed:
        return _loss(rows, point, penalty), gradient, None
    change = torch.zeros_like(point)
    change[free] = -torch.cholesky_solve(gradient[free, None], factor)[:, 0]
    return _loss(rows, point, penalty), gradient, change


def _is_free(rows: RobustRows, point: Tensor, gradient: Tensor) -> Tensor:
    """Return which coordinates move, [D]: of the two of a weight one at most, or both would only grow together."""
    if not rows.is_split:
        return torch.ones_like(point, dtype=torch.bool)
    other = point.roll(len(point) // 2)
    return (point > 0) | ((gradient < 0) & (other == 0))


def _descend(
    rows: RobustRows, point: Tensor, change: Tensor, gradient: Tensor, loss: Tensor, penalty: float
) -> Tensor | None:
    """Return the first point of smaller and smaller steps that falls enough, or None where rounding lets none."""
    for halving in range(_HALVINGS):
        moved = point + 0.5**halving * change
        tried = moved.clamp(min=0) if rows.is_split else moved
        if _loss(rows, tried, penalty) <= loss + _ENOUGH * (gradient @ (tried - point)):
            return tried
    return None
