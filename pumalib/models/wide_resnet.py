"""Wide residual networks without dropout (Zagoruyko and Komodakis 2016): WRN-28-10, WRN-70-16, WRN-d-k.

36,479,194 (28-10) and 266,796,506 (70-16) parameters for 10 classes and 3 channels. The wide networks of DM come
from Gowal et al. 2020: the same weights, but strided convolutions pad only the right and the bottom
(``strided_padding: end``), which fails on odd image sizes; and a normalisation momentum of their own, here left to
the training loop. Convolutions start He-normal over the outputs, the bias of the classifier at 0, as there.
"""

from __future__ import annotations

from functools import partial

from torch import nn

from pumalib.models.layers import activation_layer, conv3x3, named_sequence, residual_stages
from pumalib.models.layouts import Layout
from pumalib.models.preact_resnet import PreActBlock
from pumalib.models.settings import ArchitectureSettings, ImageShape

LAYOUTS = (
    Layout(
        "block{number}.layer.{block}",
        {
            "stem": "conv1",
            "norm1": "bn1",
            "norm2": "bn2",
            "shortcut": "convShortcut",
            "norm": "bn1",
            "classifier": "fc",
        },
        strided_padding="both",
        unused=("sub_block1.",),
    ),
    Layout(
        "layer.{stage}.block.{block}",
        {
            "stem": "init_conv",
            "norm1": "batchnorm_0",
            "conv1": "conv_0",
            "norm2": "batchnorm_1",
            "conv2": "conv_1",
            "norm": "batchnorm",
            "classifier": "logits",
        },
        strided_padding="end",
        is_normalised=True,
    ),
)
"""The code of TRADES (Zhang et al. 2019), whose sub_block1 is trained by nothing and read by nothing; and that of
Gowal et al. 2020, as in DM."""


def _initialize(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


def build(settings: ArchitectureSettings, image_shape: ImageShape, num_classes: int) -> nn.Module:
    """Build the network whose name gives the depth and widening factor, e.g. "wrn-28-10"."""
    depth, factor = map(int, settings.name.split("-")[1:])
    widths = (16 * factor, 32 * factor, 64 * factor)
    block = partial(PreActBlock, strided_padding=settings.strided_padding)
    model = named_sequence(
        stem=conv3x3(image_shape[2], 16),
        stages=residual_stages(block, 16, widths, (depth - 4) // 6, settings.activation),
        norm=nn.BatchNorm2d(widths[-1]),
        activation=activation_layer(settings.activation),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        classifier=nn.Linear(widths[-1], num_classes),
    )
    _initialize(model)
    return model
