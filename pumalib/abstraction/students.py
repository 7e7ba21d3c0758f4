"""Linear students whose natural training has its minimum in closed form: data can be differentiated through it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from pumalib.abstraction.settings import StudentName

Student = Callable[[Tensor], Tensor]
"""Maps signed rows [N, K] to weights [K]."""


def natural_student(name: StudentName, ridge_penalty: float) -> Student:
    """Return a student: `mean`, or `ridge` with this penalty."""
    return learn_mean if name == "mean" else lambda rows: learn_ridge(rows, ridge_penalty)


def learn_mean(rows: Tensor) -> Tensor:
    """Return the minimiser of the mean of ``-w.(y x) + ||w||^2 / 2``: the class mean.

    Args:
        rows: [N, K], signed.
    """
    return rows.mean(0)


def learn_ridge(rows: Tensor, penalty: float) -> Tensor:
    """Return the minimiser of the mean of ``(y - w.x)^2 / 2 + penalty ||w||^2 / 2``.

    Args:
        rows: [N, K], signed.
        penalty: above 0.
    """
    identity = torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)
    weights: Tensor = torch.linalg.solve(rows.T @ rows / len(rows) + penalty * identity, rows.mean(0))
    return weights
