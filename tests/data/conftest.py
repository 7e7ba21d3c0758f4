from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pumalib.data.datasets import write_images
from pumalib.data.images import LabelledImages
from pumalib.files.artifacts import create_artifact


def random_images(seed: int, count: int, side: int = 4, channels: int = 3, num_classes: int = 4) -> LabelledImages:
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, side, side, channels), dtype=np.uint8)
    return LabelledImages(images, generator.permutation(np.arange(count, dtype=np.int64) % num_classes))


@pytest.fixture
def labelled() -> Callable[..., LabelledImages]:
    """Return a maker of random images with labels."""
    return random_images


@pytest.fixture
def write_dataset() -> Callable[..., Path]:
    """Return a writer of dataset files with the given splits."""

    def write(path: Path, num_classes: int = 4, **splits: LabelledImages) -> Path:
        with create_artifact(path, "dataset") as file:
            file.attrs["class_names"] = [f"class {label}" for label in range(num_classes)]
            for name, split in splits.items():
                write_images(file.create_group(name), split)
        return path

    return write


@pytest.fixture
def write_synthetic() -> Callable[..., Path]:
    """Return a writer of synthetic files."""

    def write(path: Path, images: LabelledImages) -> Path:
        with create_artifact(path, "synthetic") as file:
            write_images(file, images)
        return path

    return write
