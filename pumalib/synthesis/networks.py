"""Class-conditional denoiser networks: raw networks F(image, noise condition, label) of EDM.

Both map images [B, C, H, W] to the same shape. Their last layer starts at zero, so that a fresh EDM denoiser
returns c_skip times its input. The architectures are choices of ours, smaller than those of Karras et al.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from pumalib.synthesis.settings import EdmSettings

NUM_FREQUENCIES = 16
NUM_MARGIN_WAVES = 8
CHANNELS_PER_GROUP = 8
MAX_HALVINGS = 3
SMALLEST_HALVED_SIDE = 8


def build_network(settings: EdmSettings, image_shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """Build the raw network of the settings, with weights from torch's current random state.

    Args:
        settings: `network`, `width` and `num_blocks` are used.
        image_shape: (H, W, C).
        num_classes: number of labels.

    Returns:
        A module called with images [B, C, H, W], noise conditions [B], labels [B] int64 and, with `margin`, quantiles
        of margins [B].
    """
    build = MlpNetwork if settings.network == "mlp" else UnetNetwork
    network = build(image_shape, num_classes, settings.width, settings.num_blocks)
    if settings.margin is not None:  # last, so that all other weights are those of a network without it
        network.conditioning.margin = MarginEmbedding(network.conditioning.output.in_features)
    # Convolutions take this layout over from their weights, and are faster for it on a CPU.
    return network.to(memory_format=torch.channels_last)


class MarginEmbedding(nn.Module):
    """Embed the quantile of a margin: a linear layer on cosines that are orthogonal on [0, 1].

    No margin adds nothing to the other conditions. What a learned vector for "none" could add, their biases can. The
    layer starts at zero, so that a fresh network is that without margins.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = _start_at_zero(nn.Linear(NUM_MARGIN_WAVES, width))

    def forward(self, quantiles: Tensor) -> Tensor:
        """Return the embedding [B, width] of quantiles [B] in [0, 1]; 0 where one is nan: no margin."""
        halves = math.pi * torch.arange(1, NUM_MARGIN_WAVES + 1, device=quantiles.device)  # [NUM_MARGIN_WAVES]
        waves = (quantiles.nan_to_num()[:, None] * halves).cos()  # [B, NUM_MARGIN_WAVES]
        is_asked = ~quantiles.isnan()[:, None]  # [B, 1]
        embedding: Tensor = self.linear(waves) * is_asked
        return embedding


class Conditioning(nn.Module):
    """Embed noise condition, label and, of some generators, a margin into one vector that every block sees."""

    frequencies: Tensor
    margin: MarginEmbedding | None

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.margin = None
        frequencies = 2 * math.pi * 2 ** torch.linspace(-3, 3, NUM_FREQUENCIES)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.noise = nn.Linear(2 * NUM_FREQUENCIES, width)
        self.label = nn.Embedding(num_classes, width)
        self.output = nn.Linear(width, width)

    def forward(self, noise_condition: Tensor, labels: Tensor, quantiles: Tensor | None = None) -> Tensor:
        """Return the embedding of noise conditions [B], labels [B] and quantiles of margins [B]; nan or None: none."""
        phases = noise_condition[:, None] * self.frequencies  # [B, NUM_FREQUENCIES]
        waves = torch.cat([phases.cos(), phases.sin()], dim=1)  # [B, 2 * NUM_FREQUENCIES]
        conditions = self.noise(waves) + self.label(labels)  # [B, width]
        if self.margin is not None and quantiles is not None:
            conditions = conditions + self.margin(quantiles)
        return functional.silu(self.output(functional.silu(conditions)))


class MlpBlock(nn.Module):
    """A residual block of two linear layers, scaled and shifted by the embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = nn.Linear(width, 2 * width)
        self.first = nn.Linear(width, width)
        self.second = _start_at_zero(nn.Linear(width, width))

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """Return the next hidden state [B, width]."""
        scale, shift = self.modulation(embedding).chunk(2, dim=1)  # [B, width] each
        # 1 + scale: a modulation of 0 leaves the normalised input as it is.
        inner = torch.addcmul(shift, self.norm(hidden), 1 + scale)  # [B, width]
        change: Tensor = self.second(functional.silu(self.first(inner)))
        return hidden + change


class MlpNetwork(nn.Module):
    """A residual MLP over all pixels at once, for tiny images."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, width: int, num_blocks: int) -> None:
        super().__init__()
        num_pixels = math.prod(image_shape)
        self.conditioning = Conditioning(num_classes, width)
        self.input = nn.Linear(num_pixels, width)
        self.blocks = nn.ModuleList([MlpBlock(width) for _ in range(num_blocks)])
        self.norm = nn.LayerNorm(width)
        self.output = _start_at_zero(nn.Linear(width, num_pixels))

    def forward(
        self, images: Tensor, noise_condition: Tensor, labels: Tensor, quantiles: Tensor | None = None
    ) -> Tensor:
        """Return the raw output [B, C, H, W]."""
        embedding = self.conditioning(noise_condition, labels, quantiles)
        hidden = self.input(images.flatten(1))  # [B, width]
        # Each block adds its change to the hidden state.
        for block in self.blocks:
            hidden = block(hidden, embedding)
        output: Tensor = self.output(functional.silu(self.norm(hidden)))  # [B, C * H * W]
        return output.view_as(images)


class ConvBlock(nn.Module):
    """A residual block of two 3x3 convolutions, scaled and shifted by the embedding."""

    def __init__(self, in_channels: int, out_channels: int, embedding_width: int) -> None:
        super().__init__()
        self.first_norm = _group_norm(in_channels)
        self.first = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.modulation = nn.Linear(embedding_width, 2 * out_channels)
        self.second_norm = _group_norm(out_channels)
        self.second = _start_at_zero(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        same = in_channels == out_channels
        self.shortcut = nn.Identity() if same else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, hidden: Tensor, embedding: Tensor) -> Tensor:
        """Return the next hidden state [B, out_channels, h, w]."""
        scale, shift = self.modulation(embedding)[:, :, None, None].chunk(2, dim=1)  # [B, out_channels, 1, 1] each
        inner = self.first(functional.silu(self.first_norm(hidden)))  # [B, out_channels, h, w]
        inner = functional.silu(torch.addcmul(shift, self.second_norm(inner), 1 + scale))
        output: Tensor = self.shortcut(hidden) + self.second(inner)  # [B, out_channels, h, w]
        return output


class SelfAttention(nn.Module):
    """Residual single-head attention over all positions of a feature map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _group_norm(channels)
        self.projections = nn.Conv2d(channels, 3 * channels, 1)
        self.output = _start_at_zero(nn.Conv2d(channels, channels, 1))

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the attended map, of the shape of `hidden` [B, channels, h, w]."""
        projections = self.projections(self.norm(hidden)).flatten(2).transpose(1, 2)  # [B, h * w, 3 * channels]
        attended = functional.scaled_dot_product_attention(*projections.chunk(3, dim=2))  # [B, h * w, channels]
        # Transposed first: `reshape_as` alone would mix channels with positions.
        change: Tensor = self.output(attended.transpose(1, 2).reshape_as(hidden))  # [B, channels, h, w]
        return hidden + change


class UnetNetwork(nn.Module):
    """A small U-Net: `width` channels at full resolution, twice as many below, attention at the lowest."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int, width: int, num_blocks: int) -> None:
        super().__init__()
        height, image_width, image_channels = image_shape
        channels = [width] + [2 * width] * count_halvings(height, image_width)
        embedding_width = 4 * width
        self.conditioning = Conditioning(num_classes, embedding_width)
        self.input = nn.Conv2d(image_channels, width, 3, padding=1)
        self.down = nn.ModuleList(
            [
                _conv_blocks([before, *[after] * num_blocks], embedding_width)
                # Level i takes the channels of level i - 1 to its own; level 0 takes the width of the input layer. The
                # list of `before` is one longer, hence not strict.
                for before, after in zip([width, *channels], channels, strict=False)
            ]
        )
        self.attention = SelfAttention(channels[-1])
        self.middle = ConvBlock(channels[-1], channels[-1], embedding_width)
        below = [channels[-1], *channels[:0:-1]]  # channels that come up into each level, from the lowest level on
        self.up = nn.ModuleList(
            [
                _conv_blocks([before + after, *[after] * num_blocks], embedding_width)
                # Each level also takes the skip of its own size, hence before + after.
                for before, after in zip(below, channels[::-1], strict=True)
            ]
        )
        self.norm = _group_norm(width)
        self.output = _start_at_zero(nn.Conv2d(width, image_channels, 3, padding=1))

    def forward(
        self, images: Tensor, noise_condition: Tensor, labels: Tensor, quantiles: Tensor | None = None
    ) -> Tensor:
        """Return the raw output [B, C, H, W]."""
        embedding = self.conditioning(noise_condition, labels, quantiles)
        hidden, skips = self._descend(self.input(images), embedding)
        hidden = self.middle(self.attention(hidden), embedding)
        hidden = self._ascend(hidden, skips, embedding)
        output: Tensor = self.output(functional.silu(self.norm(hidden)))
        return output

    def _descend(self, hidden: Tensor, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        skips: list[Tensor] = []
        # Invariant: `skips` holds one map for each level done, [B, channels[i], H / 2^i, W / 2^i]. A turn halves the
        # map, except at the first level, and runs the blocks.
        for level, blocks in enumerate(self.down):
            if level > 0:
                hidden = functional.avg_pool2d(hidden, 2)
            hidden = _apply_blocks(blocks, hidden, embedding)
            skips.append(hidden)
        return hidden, skips

    def _ascend(self, hidden: Tensor, skips: list[Tensor], embedding: Tensor) -> Tensor:
        # Invariant: `hidden` has the size of the level that was done last. A turn doubles it, except at the lowest
        # level, and joins the skip of that size: skips are used in reverse.
        for level, blocks in enumerate(self.up):
            if level > 0:
                hidden = functional.interpolate(hidden, scale_factor=2.0, mode="nearest")
            hidden = _apply_blocks(blocks, torch.cat([hidden, skips[-1 - level]], dim=1), embedding)
        return hidden


def count_halvings(height: int, width: int) -> int:
    """Count how often the U-Net halves an image: while both sides are even and 8 or more, at most 3 times.

    >>> count_halvings(8, 8), count_halvings(28, 28), count_halvings(32, 32)
    (1, 2, 3)
    """
    count = 0
    while count < MAX_HALVINGS and min(height, width) >= SMALLEST_HALVED_SIDE and not (height % 2 or width % 2):
        height, width, count = height // 2, width // 2, count + 1
    return count


def _conv_blocks(channels: Sequence[int], embedding_width: int) -> nn.ModuleList:
    return nn.ModuleList([ConvBlock(before, after, embedding_width) for before, after in pairwise(channels)])


def _apply_blocks(blocks: nn.Module, hidden: Tensor, embedding: Tensor) -> Tensor:
    for block in blocks.children():
        hidden = block(hidden, embedding)
    return hidden


def _group_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // CHANNELS_PER_GROUP, channels)


def _start_at_zero(layer: nn.Module) -> nn.Module:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
