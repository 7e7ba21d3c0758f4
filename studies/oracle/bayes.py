"""The Bayes classifier of the images of `make_images.py`: one linear layer."""

from __future__ import annotations

from torch import Tensor, nn


class Bayes(nn.Module):
    """Map images [B, 1, H, W] to the log probabilities of their classes, but for a shift."""

    def __init__(self, image_shape: tuple[int, int, int], num_classes: int) -> None:
        super().__init__()
        height, width, channels = image_shape
        self.linear = nn.Linear(height * width * channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return [B, K]."""
        logits: Tensor = self.linear(images.flatten(1))
        return logits
