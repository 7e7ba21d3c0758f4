"""What the images of a pool are. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pumalib.data.images import LabelledImages


@dataclass(frozen=True)
class Images:
    """What the images of a pool are.

    Attributes:
        shape: (H, W, C).
        num_classes: K.
        has_synthetic: whether some of them are synthetic.
    """

    shape: tuple[int, int, int]
    num_classes: int
    has_synthetic: bool = False

    @property
    def bytes(self) -> int:
        """Return the bytes of one."""
        return math.prod(self.shape)

    def draw(self, count: int) -> LabelledImages:
        """Return noise, with labels of all classes."""
        images = np.random.default_rng(0).integers(0, 256, (count, *self.shape), np.uint8)
        return LabelledImages(images, np.arange(count, dtype=np.int64) % self.num_classes)
