"""The robust margins of a set of rows, as a product of a matrix and the weights: ``A z``.

Above epsilon 0 the L1 norm in ``y x.w - epsilon ||w||_1`` is not linear. With ``w = p - q`` and p, q >= 0 it is:

    A = [X - epsilon, -X - epsilon],  z = (p, q) >= 0,  where X has the rows y x.

An overlap of p and q only lowers margins, so solutions have none: then ``||z||_1 = ||w||_1`` and ``||z|| = ||w||``.
At epsilon 0, ``A = X`` and ``z = w`` without bounds.
"""

from __future__ import annotations

import torch
from torch import Tensor


class RobustRows:
    """The matrix A of N rows, which is not stored.

    Args:
        rows: [N, K] float64, y x.
        epsilon: L-inf radius.

    Attributes:
        size: D, the length of z.
        is_split: whether z = (p, q) >= 0.
    """

    def __init__(self, rows: Tensor, epsilon: float) -> None:
        self._rows, self._epsilon = rows, epsilon
        self.is_split = epsilon > 0
        self.size = rows.shape[1] * (1 + self.is_split)

    def __len__(self) -> int:
        """Return N."""
        return len(self._rows)

    def new_full(self, size: int, value: float) -> Tensor:
        """Return a vector of one value, of the rows' type and device."""
        return self._rows.new_full((size,), value)

    def weights(self, point: Tensor) -> Tensor:
        """Return w [K] of z [D]."""
        if not self.is_split:
            return point
        up, down = point.tensor_split(2)
        return up - down

    def margins(self, point: Tensor) -> Tensor:
        """Return A z, [N], for z [D]."""
        margins = self._rows @ self.weights(point)
        return margins - self._epsilon * point.sum() if self.is_split else margins

    def pull(self, multipliers: Tensor) -> Tensor:
        """Return the sum of the rows of A weighted by multipliers [N], [D]."""
        pull = self._rows.T @ multipliers
        return torch.cat([pull, -pull]) - self._epsilon * multipliers.sum() if self.is_split else pull

    def part(self, chosen: Tensor, coordinates: Tensor) -> Tensor:
        """Return A at some rows and coordinates of z, [n, d], by their numbers [n] and [d]."""
        size = self._rows.shape[1]
        part = self._rows[chosen][:, coordinates % size]
        return part * torch.where(coordinates < size, 1.0, -1.0) - self._epsilon if self.is_split else part

    def gram(self, weight: Tensor) -> Tensor:
        """Return A^T diag(weight) A, [D, D], for weights [N] of at least 0."""
        weighted = self._rows * weight[:, None]
        square = self._rows.T @ weighted  # [K, K]
        if not self.is_split:
            return square
        along = self._epsilon * weighted.sum(0)  # [K]
        even, odd = along[:, None] + along, along[:, None] - along
        upper = torch.cat([square - even, -square - odd], 1)
        lower = torch.cat([-square + odd, square + even], 1)
        return torch.cat([upper, lower]) + self._epsilon**2 * weight.sum()
