"""ResNet-18 for small images: a 3 x 3 stem without pooling, then the four stages of He et al. 2016.

11,173,962 parameters for 10 classes and 3 channels, as in the CIFAR-10 literature (and in PUMA and DM).
Initialisation is torch's default, as there.
"""

from __future__ import annotations

from torch import Tensor, nn

from pumalib.models.layers import activation_layer, conv1x1, conv3x3, named_sequence, residual_stages
from pumalib.models.layouts import Layout
from pumalib.models.settings import Activation, ArchitectureSettings, ImageShape

_PORT = {
    "stem": "conv1",
    "norm": "bn1",
    "norm1": "bn1",
    "norm2": "bn2",
    "shortcut.conv": "shortcut.0",
    "shortcut.norm": "shortcut.1",
    "classifier": "linear",
}
LAYOUTS = (
    Layout("layer{number}.{block}", _PORT),
    Layout("layer{number}.{block}", {**_PORT, "classifier": "fc"}),
    Layout(
        "layer{number}.{block}",
        {**_PORT, "shortcut.conv": "downsample.0", "shortcut.norm": "downsample.1", "classifier": "fc"},
    ),
)
"""The CIFAR ports, with either name of the classifier; and torchvision's names."""


class BasicBlock(nn.Module):
    """Two normalised 3 x 3 convolutions beside a shortcut (He et al. 2016, "Deep residual learning")."""

    def __init__(self, in_channels: int, channels: int, stride: int, activation: Activation) -> None:
        super().__init__()
        self.conv1 = conv3x3(in_channels, channels, stride)
        self.norm1 = nn.BatchNorm2d(channels)
        self.activation1 = activation_layer(activation)
        self.conv2 = conv3x3(channels, channels)
        self.norm2 = nn.BatchNorm2d(channels)
        self.activation2 = activation_layer(activation)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != channels:
            self.shortcut = named_sequence(conv=conv1x1(in_channels, channels, stride), norm=nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, channels, H / stride, W / stride]."""
        residual = self.activation1(self.norm1(self.conv1(x)))
        residual = self.norm2(self.conv2(residual))
        out: Tensor = self.activation2(residual + self.shortcut(x))
        return out


def build(settings: ArchitectureSettings, image_shape: ImageShape, num_classes: int) -> nn.Module:
    """Build ResNet-18; larger images only enlarge the area of the final average."""
    return named_sequence(
        stem=conv3x3(image_shape[2], 64),
        norm=nn.BatchNorm2d(64),
        activation=activation_layer(settings.activation),
        stages=residual_stages(BasicBlock, 64, (64, 128, 256, 512), 2, settings.activation),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        classifier=nn.Linear(512, num_classes),
    )
