"""Generated images as files in class folders, or in a tar file of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pumalib.data.datasets import read_class_names, read_image_shape
from pumalib.data.decoding import View
from pumalib.data.images import LabelledImages, stratified_rows
from pumalib.data.settings import FolderSyntheticSettings
from pumalib.data.sources.class_folders import Listing, listing_of
from pumalib.data.sources.image_files import ListedFiles, read_files
from pumalib.data.sources.image_places import place_at
from pumalib.errors import DataError
from pumalib.files.origin import Input, user_role
from pumalib.randomness import numpy_generator
from pumalib.synthesis.synthetic import SyntheticInputs


def make(settings: FolderSyntheticSettings, inputs: SyntheticInputs) -> tuple[LabelledImages, dict[str, Input]]:
    """Read a stratified, seeded subset of the files.

    Raises:
        DataError: classes that the dataset has not, fewer files than asked for, or an unreadable image.
    """
    root, (size, _, channels) = Path(settings.path), read_image_shape(inputs.dataset)
    place = place_at(root)
    listing = listing_of(place, "", root)
    labels = _labels(listing, read_class_names(inputs.dataset), settings)
    rows = np.arange(len(labels))
    if settings.count is not None:
        if settings.count > len(labels):
            raise DataError(
                f"expected a count of at most {len(labels)}, the images in {settings.path}, got {settings.count}"
            )
        generator = numpy_generator(settings.subset_seed, "folder subset")
        rows = stratified_rows(labels, settings.count, generator)
    paths = [listing.files[row][0] for row in rows.tolist()]
    listed = ListedFiles(root, paths, labels[rows].tolist(), paths)
    view = View(size, 3 if channels == 3 else 1, settings.fit, settings.background, settings.enlarge)
    (images,) = read_files(place, root, [listed], settings, view).splits
    return images, {user_role(settings.path): Input(root, inputs.watched.get(settings.path, ""))}


def _labels(
    listing: Listing, class_names: tuple[str, ...], settings: FolderSyntheticSettings
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    known = {name: label for label, name in enumerate(class_names)}
    unknown = [name for name in listing.class_names if name not in known]
    if unknown:
        raise DataError(
            f"expected class folders named by classes of the dataset, got {', '.join(unknown[:5])} in {settings.path}"
        )
    return np.array([known[listing.class_names[label]] for _, label in listing.files], np.int64)
