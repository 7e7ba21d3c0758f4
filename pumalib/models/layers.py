"""The building blocks that several architectures share."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pumalib.models.settings import Activation


def activation_layer(activation: Activation) -> nn.Module:
    """Return the activation as a layer of its own.

    ReLU works in place, to save memory in the wide networks. It only ever follows a normalisation, a linear
    layer or a sum, none of which needs its own output to go backward.
    """
    return nn.ReLU(inplace=True) if activation == "relu" else nn.SiLU()


def conv3x3(in_channels: int, out_channels: int, stride: int = 1, padding: int = 1) -> nn.Conv2d:
    """Return a 3 x 3 convolution without bias that keeps the image size (at stride 1)."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=padding, bias=False)


def conv1x1(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """Return the 1 x 1 convolution without bias of a projecting shortcut."""
    return nn.Conv2d(in_channels, out_channels, kernel_size=1, stride=stride, bias=False)


def named_sequence(**layers: nn.Module) -> nn.Sequential:
    """Chain layers that keep their names in the state dict."""
    return nn.Sequential(OrderedDict(layers))


def residual_stages(
    block: Callable[[int, int, int, Activation], nn.Module],
    in_channels: int,
    widths: Sequence[int],
    blocks_per_stage: int,
    activation: Activation,
) -> nn.Sequential:
    """Chain stages of residual blocks; each stage after the first halves the image size.

    Args:
        block: Called as ``block(in_channels, channels, stride, activation)``.
        in_channels: Channels that enter the first stage.
        widths: Channels of each stage.
        blocks_per_stage: Blocks in each stage.
        activation: Activation inside the blocks.
    """
    stages = []
    for index, width in enumerate(widths):
        strides = [1 if index == 0 else 2] + [1] * (blocks_per_stage - 1)
        channels = [in_channels] + [width] * (blocks_per_stage - 1)
        stages.append(nn.Sequential(*(block(c, width, s, activation) for c, s in zip(channels, strides, strict=True))))
        in_channels = width
    return nn.Sequential(*stages)


class Normalized(nn.Module):
    """A model behind a per-channel normalisation, so that attacks still live on the pixel scale [0, 1].

    The constants are persistent buffers: a weight file carries what its model was trained with, and a model
    without normalisation refuses that file.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Map images [B, C, H, W] in [0, 1] to logits [B, K]."""
        logits: Tensor = self.model((images - self.mean) / self.std)
        return logits
