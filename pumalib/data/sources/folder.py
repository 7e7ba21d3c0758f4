"""Images in folders named by class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from pumalib.data.images import LabelledImages
from pumalib.data.settings import FolderSettings
from pumalib.data.sources.raw import RawDataset, SourceShape
from pumalib.errors import ConfigError, DataError


def look(settings: FolderSettings, where: str) -> SourceShape:
    """Return what the images will be, without reading them.

    Raises:
        ConfigError: no such folder.
    """
    if not Path(settings.path).is_dir():
        raise ConfigError(f"expected a folder, found none at {settings.path}, named at {where}.path")
    return SourceShape((settings.image_size, settings.image_size, settings.channels), None)


def files(settings: FolderSettings) -> tuple[str, ...]:
    """Return the user's own folder."""
    return (settings.path,)


def load(settings: FolderSettings, data_dir: Path) -> RawDataset:
    """Load `path/train` and `path/test`, or all of `path` when the split is seeded.

    Raises:
        DataError: no class folder, an unreadable image, or other classes in the test split.
    """
    root = Path(settings.path)
    if settings.split == "seeded" and not (root / "train").is_dir():
        names, images = _read(root, settings)
        return RawDataset(images, None, names)
    names, train = _read(root / "train", settings)
    test_names, test = _read(root / "test", settings)
    if names != test_names:
        raise DataError(
            f"expected the same class folders in {root / 'train'} and {root / 'test'}, got "
            f"{', '.join(names)} and {', '.join(test_names)}"
        )
    return RawDataset(train, test, names)


def _read(root: Path, settings: FolderSettings) -> tuple[tuple[str, ...], LabelledImages]:
    from torchvision.datasets import ImageFolder

    try:
        folder = ImageFolder(str(root))
    except FileNotFoundError as error:
        raise DataError(f"expected class folders with images in {root}: {error}") from None
    shape = (len(folder), settings.image_size, settings.image_size, settings.channels)
    images = np.empty(shape, np.uint8)
    labels = np.empty(len(folder), np.int64)
    samples = tqdm(folder.samples, desc=f"reading {root}", unit="image", disable=None)
    for row, (path, label) in enumerate(samples):
        images[row], labels[row] = _read_image(path, settings), label
    return tuple(folder.classes), LabelledImages(images, labels)


def _read_image(path: str, settings: FolderSettings) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    from PIL import Image, ImageOps

    size = (settings.image_size, settings.image_size)
    try:
        with Image.open(path) as image:
            mode = image.mode
            fitted = ImageOps.fit(image.convert("L" if settings.channels == 1 else "RGB"), size)
    except Exception as error:  # Pillow's readers raise whatever they stumble over, SyntaxError among them
        raise DataError(f"expected a readable image at {path}: {error}") from None
    if mode.startswith(("I", "F")):  # Pillow would clip them: nearly every pixel would be white
        raise DataError(f"expected an image of 8 bits a channel, got mode {mode} at {path}; convert it")
    return np.asarray(fitted, np.uint8).reshape(*size, settings.channels)
