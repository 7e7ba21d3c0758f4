"""A multilayer perceptron with two hidden layers, for images small enough to be flattened."""

from __future__ import annotations

import math

from torch import nn

from pumalib.models.layers import activation_layer, named_sequence
from pumalib.models.settings import ArchitectureSettings, ImageShape


def build(settings: ArchitectureSettings, image_shape: ImageShape, num_classes: int) -> nn.Module:
    """Build the perceptron; ``width`` is the number of units of each hidden layer (256)."""
    width = settings.width or 256
    return named_sequence(
        flatten=nn.Flatten(),
        hidden1=nn.Linear(math.prod(image_shape), width),
        activation1=activation_layer(settings.activation),
        hidden2=nn.Linear(width, width),
        activation2=activation_layer(settings.activation),
        classifier=nn.Linear(width, num_classes),
    )
