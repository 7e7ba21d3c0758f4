"""Wide residual networks without dropout (Zagoruyko and Komodakis 2016): WRN-28-10, WRN-70-16, WRN-d-k.

36,479,194 (28-10) and 266,796,506 (70-16) parameters for 10 classes and 3 channels. Two differences to DM,
whose wide networks come from Gowal et al. 2020 and count the same parameters: strided convolutions pad all
four sides (theirs only the right and the bottom, which fails on odd image sizes), and the normalisation
momentum is torch's, left to the training loop. Convolutions start He-normal over the outputs, the bias of the
classifier at 0, as there.
"""

from __future__ import annotations

from torch import nn

from pumalib.models.layers import activation_layer, conv3x3, named_sequence, residual_stages
from pumalib.models.preact_resnet import PreActBlock
from pumalib.models.settings import Activation, ImageShape, wide_resnet_size


def _initialize(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


def build(
    name: str, image_shape: ImageShape, num_classes: int, activation: Activation, width: int | None = None
) -> nn.Module:
    """Build the network that ``name`` gives the depth and widening factor of, e.g. "wrn-28-10"."""
    depth, factor = wide_resnet_size(name)
    widths = (16 * factor, 32 * factor, 64 * factor)
    model = named_sequence(
        stem=conv3x3(image_shape[2], 16),
        stages=residual_stages(PreActBlock, 16, widths, (depth - 4) // 6, activation),
        norm=nn.BatchNorm2d(widths[-1]),
        activation=activation_layer(activation),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        classifier=nn.Linear(widths[-1], num_classes),
    )
    _initialize(model)
    return model
