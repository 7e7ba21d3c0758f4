"""scikit-learn's bundled digits: 1,797 grey images of 8x8 pixels, no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pumalib.data.images import LabelledImages
from pumalib.data.settings import DigitsSettings
from pumalib.data.sources.raw import RawDataset, SourceShape


def look(settings: DigitsSettings, where: str) -> SourceShape:
    """Return what the images are, without loading them."""
    return SourceShape((8, 8, 1), 10, (1797, 0))


def files(settings: DigitsSettings) -> tuple[str, ...]:
    """Return the user's own files: none."""
    return ()


def load(settings: DigitsSettings, data_dir: Path) -> RawDataset:
    """Load the digits; their 17 grey levels 0..16 are scaled to 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int64)
    return RawDataset(LabelledImages(images, labels), None, tuple(str(digit) for digit in range(10)))
