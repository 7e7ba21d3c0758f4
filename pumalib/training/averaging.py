"""The exponential moving average of weights that is evaluated and saved."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from pumalib.errors import DataError


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except Exception as error:  # whatever a user's own parts raise
        raise DataError(
            f"expected a network that copy.deepcopy copies, for the average of its weights, it raised "
            f"{type(error).__name__}: {error}; keep locks, files and tensors with a history out of its attributes"
        ) from error


class WeightAverage:
    """An average of a model's weights; its buffers are copies of the model's latest.

    Before the warm-up ends the average is the model itself; from then on, t steps later,
    ``decay = min(tau, (1 + t) / (10 + t))`` (Wang et al. 2023).

    Args:
        model: the model in training.
        tau: largest decay; 0: no averaging.
        warmup_steps: steps before averaging starts.
    """

    def __init__(self, model: nn.Module, tau: float, warmup_steps: int) -> None:
        self.model = _copied(model).eval().requires_grad_(False)
        self._tau = tau
        self._warmup_steps = warmup_steps

    def decay(self, step: int) -> float:
        """Return the decay at a step, counted from 0."""
        since = step - self._warmup_steps
        return 0.0 if since < 0 else min(self._tau, (1 + since) / (10 + since))

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take the weights after a step into the average, and copy the buffers."""
        torch._foreach_lerp_(list(self.model.parameters()), list(model.parameters()), 1 - self.decay(step))
        if buffers := list(model.buffers()):
            torch._foreach_copy_(list(self.model.buffers()), buffers)

    def state_dict(self) -> dict[str, Any]:
        """Return the average."""
        return self.model.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from an average."""
        self.model.load_state_dict(state)
