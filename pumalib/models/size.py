"""How large a network is, and how much memory a batch of images takes in it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pumalib.models.checks import in_eval_mode
from pumalib.models.settings import ImageShape

_WEIGHT_COPIES = 4
"""Weights, gradients, momentum and average of a training."""


@dataclass(frozen=True)
class NetworkSize:
    """How large a network is.

    Attributes:
        weights: bytes of its weights and buffers.
        activations: bytes that it keeps of one image on the way forward, for the way back.
    """

    weights: int
    activations: int

    def of_training(self, batch_size: int, passes: int) -> int:
        """Return the bytes of a training step; all passes whose gradients are summed keep their layers until then.

        Args:
            batch_size: images per step.
            passes: backward passes of an image outside the inner attack.
        """
        return _WEIGHT_COPIES * self.weights + passes * batch_size * self.activations

    def of_attack(self, batch_size: int) -> int:
        """Return the bytes of an attack on, or a search through, a batch."""
        return self.weights + batch_size * self.activations


def size_of(model: nn.Module, image_shape: ImageShape) -> NetworkSize:
    """Measure the memory of a network: its weights, and what autograd keeps of one image, each storage once.

    The peak of a job is higher, by what is in use only for a moment.

    Args:
        model: takes float [B, C, H, W].
        image_shape: (height, width, channels) of one image.

    Returns:
        Bytes of the weights, and bytes kept for each image. What they make of a training or an attack can be asked.

    Example:
        >>> from torch import nn
        >>> size = size_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), (8, 8, 1))
        >>> size.weights  # 650 numbers of 4 bytes
        2600
    """
    state = [*model.parameters(), *model.buffers()]
    some = next((tensor for tensor in state if tensor.is_floating_point()), torch.zeros(0))
    own, kept = {tensor.untyped_storage().data_ptr() for tensor in state}, dict[int, int]()

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    height, width, channels = image_shape
    images = torch.zeros(1, channels, height, width, device=some.device, dtype=some.dtype, requires_grad=True)
    with (
        in_eval_mode(model),
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
    ):
        logits = model(images)  # what is kept lives as long as this, so that no storage is taken for another one
    del logits
    return NetworkSize(sum(tensor.nbytes for tensor in state), sum(kept.values()))
