"""A model that notes how often each image of a batch goes through it, and gradients at the points it was shown."""

from __future__ import annotations

import torch
from torch import Tensor

from pumalib.attacks.objectives import cw_margin
from pumalib.models.network import Network


class CountedModel:
    """A model, and the passes that each row of a batch has taken through it.

    Args:
        model: maps [B, ...] to logits [B, K].
        num_rows: rows of the batch.
        device: of the batch.

    Attributes:
        forwards: [num_rows] int64, how often each row went forward.
        backwards: [num_rows] int64, and backward.
    """

    def __init__(self, model: Network, num_rows: int, device: torch.device) -> None:
        self._model = model
        self.forwards = torch.zeros(num_rows, dtype=torch.int64, device=device)
        self.backwards = torch.zeros_like(self.forwards)

    @torch.no_grad()
    def logits(self, points: Tensor, rows: Tensor) -> Tensor:
        """Return the logits [R, K] of points [R, ...] that belong to these rows [R], without a graph."""
        self.forwards[rows] += 1
        logits: Tensor = self._model(points)
        return logits

    def is_across(self, logits: Tensor, labels: Tensor, was_correct: Tensor) -> Tensor:
        """Say whether a row is across its boundary: off its label if it was right, on it if it was wrong.

        By more than rounding, so that it is across in any other batch as well.
        """
        gap = cw_margin(logits, labels) * (was_correct * 2 - 1)
        return gap > self._model.rounding * logits.abs().amax(1)

    def look(self, points: Tensor, rows: Tensor) -> Look:
        """Return the logits of points [R, ...] that belong to these rows [R], ready for gradients."""
        self.forwards[rows] += 1
        inputs = points.detach().requires_grad_(True)
        return Look(self, inputs, self._model(inputs), rows)


class Look:
    """A forward pass of which gradients can be asked, one backward pass each.

    Attributes:
        inputs: [R, ...] the points.
        logits: [R, K], with their graph.
        rows: [R] int64, whose points they are.
    """

    def __init__(self, model: CountedModel, inputs: Tensor, logits: Tensor, rows: Tensor) -> None:
        self._model = model
        self.inputs, self.logits, self.rows = inputs, logits, rows

    def gradient(self, values: Tensor, keep_graph: bool = False) -> Tensor:
        """Return the gradient [R, D] of values [R], each of which depends on its own row alone."""
        self._model.backwards[self.rows] += 1
        (gradient,) = torch.autograd.grad(values.sum(), self.inputs, retain_graph=keep_graph)
        return gradient.flatten(1)

    def among(self, stays: Tensor) -> Look:
        """Return a look at some of the rows: a forward pass of their own, so that the rest costs nothing any more."""
        return self._model.look(self.inputs[stays], self.rows[stays])
