"""A small convolutional network (about 130,000 parameters) for digits and quick studies on small images.

Four 3 x 3 convolutions with batch normalisation, widths w, 2w, 2w, 4w, of which the second and the last halve
the image; then the global average. The architecture is ours.
"""

from __future__ import annotations

from torch import nn

from pumalib.models.layers import activation_layer, conv3x3, named_sequence
from pumalib.models.settings import Activation, ArchitectureSettings, ImageShape


def _layer(in_channels: int, channels: int, stride: int, activation: Activation) -> nn.Module:
    return named_sequence(
        conv=conv3x3(in_channels, channels, stride),
        norm=nn.BatchNorm2d(channels),
        activation=activation_layer(activation),
    )


def build(settings: ArchitectureSettings, image_shape: ImageShape, num_classes: int) -> nn.Module:
    """Build the network; ``width`` is the number of channels of the first layer (32)."""
    width = settings.width or 32
    return named_sequence(
        layer1=_layer(image_shape[2], width, 1, settings.activation),
        layer2=_layer(width, 2 * width, 2, settings.activation),
        layer3=_layer(2 * width, 2 * width, 1, settings.activation),
        layer4=_layer(2 * width, 4 * width, 2, settings.activation),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        classifier=nn.Linear(4 * width, num_classes),
    )
