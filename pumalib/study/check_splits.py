"""Checks of how a folder of images is divided: known from the number of its images in each class. Imports no torch."""

from __future__ import annotations

import importlib

import numpy as np

from pumalib.data.settings import DatasetSettings, ImageFilesSettings, class_tree_of, source_module
from pumalib.data.sources.raw import ClassCounts
from pumalib.errors import ConfigError, DataError
from pumalib.study.study import Study


def check_splits(study: Study) -> None:
    """Refuse seeded splits of image files that leave a class without a train or a test row.

    The images are listed and counted, and none is read. A class tree looks at its classes itself.

    Raises:
        ConfigError: the first one found.
    """
    for name, settings in study.settings.datasets.items():
        if isinstance(settings, ImageFilesSettings) and settings.is_seeded and class_tree_of(settings) is None:
            _check_split(settings, settings.source, f"datasets.{name}")


def _check_split(settings: DatasetSettings, source: str, where: str) -> None:
    """Divide stand-ins of one pixel as the images will be: how many rows of a class go where follows from counts."""
    from pumalib.data.datasets import divide  # loads h5py, which other checks need not
    from pumalib.data.images import LabelledImages
    from pumalib.data.sources.raw import RawDataset

    counts: ClassCounts = importlib.import_module(source_module(source)).class_counts(settings)
    sizes = counts.sizes(is_seeded=True)
    labels = np.repeat(np.arange(len(sizes), dtype=np.int64), list(sizes.values()))
    images = LabelledImages(np.zeros((len(labels), 1, 1, 1), np.uint8), labels)
    try:
        divide(RawDataset(images, None, tuple(sizes)), settings, seed=0)
    except DataError as error:
        raise ConfigError(
            f"{error}, named at {where}; give each class more images, or take the folder of a small class away"
        ) from None
