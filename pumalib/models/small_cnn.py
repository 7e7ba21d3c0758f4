"""The small convolutional network of certified robustness on MNIST (Wong & Kolter 2018).

166,406 parameters at 28 x 28 x 1.

Two 4 x 4 convolutions that halve the image and two dense layers, without normalisation: much cheaper than `convnet`
on images of that size.
"""

from __future__ import annotations

from torch import nn

from pumalib.models.layers import activation_layer, named_sequence
from pumalib.models.settings import ArchitectureSettings, ImageShape

HIDDEN_UNITS = 100


def build(settings: ArchitectureSettings, image_shape: ImageShape, num_classes: int) -> nn.Module:
    """Build the network; ``width`` is the number of channels of the first layer (16), the second has twice as many."""
    width = settings.width or 16
    height, breadth, channels = image_shape
    return named_sequence(
        conv1=nn.Conv2d(channels, width, 4, stride=2, padding=1),
        activation1=activation_layer(settings.activation),
        conv2=nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
        activation2=activation_layer(settings.activation),
        flatten=nn.Flatten(),
        hidden=nn.Linear(2 * width * (height // 2 // 2) * (breadth // 2 // 2), HIDDEN_UNITS),
        activation3=activation_layer(settings.activation),
        classifier=nn.Linear(HIDDEN_UNITS, num_classes),
    )
