"""How large a network is, and how much memory a batch of images takes in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pumalib.models.checks import in_eval_mode
from pumalib.models.settings import ImageShape

_WEIGHT_COPIES = 4
"""Weights, gradients, momentum and average of a training."""
_KEPT = 2
"""Times what the layers give that an attack holds at once: its passes, and what follows from them. A choice of ours."""


@dataclass(frozen=True)
class NetworkSize:
    """How large a network is.

    Attributes:
        weights: bytes of its weights and buffers.
        activations: bytes of what its layers give for one image.
    """

    weights: int
    activations: int

    def of_training(self, batch_size: int, passes: int) -> int:
        """Return the bytes of a training step; all passes whose gradients are summed keep their layers until then.

        Args:
            batch_size: images a step.
            passes: backward passes of an image outside the inner attack.
        """
        return _WEIGHT_COPIES * self.weights + passes * batch_size * self.activations

    def of_attack(self, batch_size: int) -> int:
        """Return the bytes of an attack on, or a search through, a batch."""
        return self.weights + _KEPT * batch_size * self.activations


def size_of(model: nn.Module, image_shape: ImageShape) -> NetworkSize:
    """Measure a network: what every layer that has no layers gives for an image, kept for the way back.

    Args:
        model: takes [B, C, H, W].
        image_shape: (H, W, C).
    """
    found: list[int] = []

    def note(layer: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            found.append(output.numel() * output.element_size())

    hooks = [layer.register_forward_hook(note) for layer in model.modules() if not list(layer.children())]
    height, width, channels = image_shape
    some = next(model.parameters(), torch.zeros(0))
    try:
        with torch.no_grad(), in_eval_mode(model):
            model(torch.zeros(1, channels, height, width, device=some.device, dtype=some.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return NetworkSize(sum(tensor.nbytes for tensor in model.state_dict().values()), sum(found))
