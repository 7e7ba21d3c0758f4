"""Learned data: students that train naturally on them have a small robust loss on the natural data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from pumalib.abstraction.settings import DescentSettings
from pumalib.abstraction.students import Student


def robust_loss(weights: Tensor, rows: Tensor, epsilon: float) -> Tensor:
    """Return the mean logistic loss under the worst L-inf perturbation: FGSM, exact for a linear student.

    Args:
        weights: [K].
        rows: [N, K], signed.
        epsilon: at least 0.
    """
    return F.softplus(epsilon * weights.abs().sum() - rows @ weights).mean()


def learn_scales(rows: Tensor, students: Sequence[Student], epsilon: float, descent: DescentSettings) -> Tensor:
    """Return the rows with every feature multiplied by a number of its own, found by descent from 1.

    Args:
        rows: [N, K], natural and signed.
        students: whose robust loss falls, on average.
        epsilon: of the attack on natural rows.
        descent: steps and rate.

    Returns:
        [N, K], signed.
    """
    return rows * _descend(torch.ones_like(rows[0]), lambda scales: rows * scales, rows, students, epsilon, descent)


def learn_rows(rows: Tensor, students: Sequence[Student], epsilon: float, descent: DescentSettings) -> Tensor:
    """Return rows of which every entry is found by descent from the natural one; arguments as of `learn_scales`."""
    return _descend(rows.clone(), lambda learned: learned, rows, students, epsilon, descent)


def _descend(
    start: Tensor,
    build: Callable[[Tensor], Tensor],
    rows: Tensor,
    students: Sequence[Student],
    epsilon: float,
    descent: DescentSettings,
) -> Tensor:
    """Descend the mean robust loss on natural rows of students of the rows that parameters build."""
    parameters = start.requires_grad_(True)
    optimizer = torch.optim.Adam([parameters], descent.learning_rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / descent.steps)
    for _ in range(descent.steps):
        optimizer.zero_grad()
        learned = build(parameters)
        losses = [robust_loss(student(learned), rows, epsilon) for student in students]
        torch.stack(losses).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return parameters.detach()
