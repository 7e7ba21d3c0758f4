"""PreActResNet-18 for small images (He et al. 2016, "Identity mappings"), as adversarial training uses it.

11,172,170 parameters for 10 classes and 3 channels: with the normalisation and activation before the average
(DM; Rice et al. 2020), which the first CIFAR ports left out (11,171,146). Projecting shortcuts are 1 x 1
convolutions of the activated input; the silu variant of Rebuffi et al. 2021 has 3 x 3 ones and is not this
network. Initialisation is torch's default, as in DM.
"""

from __future__ import annotations

from torch import Tensor, nn

from pumalib.models.layers import activation_layer, conv1x1, conv3x3, named_sequence, residual_stages
from pumalib.models.layouts import Layout
from pumalib.models.settings import Activation, ArchitectureSettings, ImageShape, StridedPadding

_PORT = {
    "stem": "conv1",
    "norm1": "bn1",
    "norm2": "bn2",
    "shortcut": "shortcut.0",
    "norm": "bn",
    "classifier": "linear",
}
LAYOUTS = (Layout("layer{number}.{block}", _PORT), Layout("layer{number}.{block}", {**_PORT, "classifier": "fc"}))
"""The CIFAR ports, with either name of the classifier. Those whose shortcut takes the input before its activation have
no last normalisation either, and are refused for that."""


class PreActBlock(nn.Module):
    """Two 3 x 3 convolutions, each after its normalisation and activation, beside a shortcut."""

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int,
        activation: Activation,
        strided_padding: StridedPadding = "both",
    ) -> None:
        super().__init__()
        pads_end = stride != 1 and strided_padding == "end"
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.activation1 = activation_layer(activation)
        self.pad = nn.ZeroPad2d((0, 1, 0, 1)) if pads_end else nn.Identity()
        self.conv1 = conv3x3(in_channels, channels, stride, padding=0 if pads_end else 1)
        self.norm2 = nn.BatchNorm2d(channels)
        self.activation2 = activation_layer(activation)
        self.conv2 = conv3x3(channels, channels)
        has_projection = stride != 1 or in_channels != channels
        self.shortcut = conv1x1(in_channels, channels, stride) if has_projection else None

    def forward(self, x: Tensor) -> Tensor:
        """Map [B, in_channels, H, W] to [B, channels, H / stride, W / stride]."""
        activated = self.activation1(self.norm1(x))
        identity = x if self.shortcut is None else self.shortcut(activated)
        residual = self.conv1(self.pad(activated))
        residual = self.conv2(self.activation2(self.norm2(residual)))
        out: Tensor = residual + identity
        return out


def build(settings: ArchitectureSettings, image_shape: ImageShape, num_classes: int) -> nn.Module:
    """Build PreActResNet-18; larger images only enlarge the area of the final average."""
    return named_sequence(
        stem=conv3x3(image_shape[2], 64),
        stages=residual_stages(PreActBlock, 64, (64, 128, 256, 512), 2, settings.activation),
        norm=nn.BatchNorm2d(512),
        activation=activation_layer(settings.activation),
        pool=nn.AdaptiveAvgPool2d(1),
        flatten=nn.Flatten(),
        classifier=nn.Linear(512, num_classes),
    )
