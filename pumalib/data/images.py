"""Labelled images in the one form that every stage shares, and the checks at the door."""

from __future__ import annotations

import math
import shutil
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumalib.data.encoded_images import EncodedImages
from pumalib.data.image_readers import Images, JoinedImages, LazyImages, take_images
from pumalib.errors import DataError, ResourceError
from pumalib.files.sizes import size_in_words
from pumalib.randomness import numpy_generator

IN_MEMORY_BYTES = 1 << 30
"""Images of more bytes than this are gathered in a file. A choice of ours."""


@dataclass(frozen=True)
class LabelledImages:
    """Images and their labels.

    Attributes:
        images: [N, H, W, C] uint8, pixel scale 0..255; in memory, or read when they are asked for.
        labels: [N] int64.
        files: [N] names of the files that the images were, as text; None: they were none of their own.
    """

    images: Images
    labels: NDArray[np.int64]
    files: NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: NDArray[np.int64]) -> LabelledImages:
        """Return the given rows, in the given order."""
        files = None if self.files is None else self.files[rows]
        return LabelledImages(take_images(self.images, rows), self.labels[rows], files)


def concatenate(first: LabelledImages, second: LabelledImages) -> LabelledImages:
    """Put two sets of one image shape after another."""
    files = None if first.files is None or second.files is None else np.concatenate([first.files, second.files])
    return LabelledImages(_joined(first.images, second.images), np.concatenate([first.labels, second.labels]), files)


def _joined(first: Images, second: Images) -> Images:
    if isinstance(first, EncodedImages) and isinstance(second, EncodedImages):
        return first.with_rows_of(second)
    are_in_memory = not any(isinstance(each, LazyImages | np.memmap) for each in (first, second))
    return np.concatenate([first, second]) if are_in_memory else JoinedImages((first, second))


def scratch_array(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array to fill: in memory, or, where it is large, in a file without a name in the temporary folder.

    The file goes with the array. $TMPDIR chooses the folder; one that is itself memory saves none.

    Raises:
        ResourceError: the folder has too little room.
    """
    size = math.prod(shape) * dtype.itemsize
    if size <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free  # a mapped file on a full disk would end the process without a word
    if size > free:
        raise ResourceError(
            f"expected {size_in_words(size)} of room for images in {folder}, got {size_in_words(free)} free; make room "
            "there, or set TMPDIR to another folder"
        )
    with tempfile.TemporaryFile(prefix="pumalib-") as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def check_images(images: NDArray[Any] | LazyImages, labels: NDArray[Any], num_classes: int | None, where: str) -> None:
    """Refuse images and labels that are not in the one form.

    Args:
        images: should be [N, H, W, C] uint8.
        labels: should be [N] integers in [0, num_classes).
        num_classes: number of classes; None: labels need only be non-negative.
        where: what to name in the error.

    Raises:
        DataError: wrong dtype, shape or count; NaN; a label out of range.
    """
    for name, array in (("images", images), ("labels", labels)):
        if isinstance(array, np.ndarray) and np.issubdtype(array.dtype, np.floating) and not np.isfinite(array).all():
            count = int((~np.isfinite(array)).sum())
            raise DataError(f"expected {name} without NaN or infinity, got {count} such values in {where}")
    check_image_form(images.dtype, images.shape, where)
    check_labels(labels, len(images), num_classes, where)


def check_image_form(dtype: np.dtype[Any], shape: tuple[int, ...], where: str) -> None:
    """Refuse another dtype or shape than uint8 [N, H, W, C]; the values are not needed."""
    if dtype != np.uint8 or len(shape) != 4 or shape[-1] not in (1, 3) or 0 in shape[1:]:
        raise DataError(
            f"expected images as uint8 [N, H, W, C] with 1 or 3 channels, got {dtype} {list(shape)} in {where}"
        )


def check_labels(labels: NDArray[Any], count: int, num_classes: int | None, where: str) -> None:
    """Refuse labels that are not integers, not one per image, or out of range."""
    if not np.issubdtype(labels.dtype, np.integer) or labels.ndim != 1:
        raise DataError(f"expected labels as integers [N], got {labels.dtype} {list(labels.shape)} in {where}")
    if len(labels) != count:
        raise DataError(f"expected one label for each of {count} images, got {len(labels)} labels in {where}")
    if count == 0:
        raise DataError(f"expected at least one image, got none in {where}")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= (np.iinfo(np.int64).max if num_classes is None else num_classes):
        expected = "of at least 0" if num_classes is None else f"in [0, {num_classes})"
        raise DataError(
            f"expected labels {expected}, got {lowest}..{highest} in {where}; "
            "check that the file belongs to this dataset"
        )


def check_every_class(labels: NDArray[np.int64], class_names: tuple[str, ...], where: str) -> None:
    """Refuse a set in which a class has no row."""
    counts = np.bincount(labels, minlength=len(class_names))
    empty = [class_names[index] for index in np.flatnonzero(counts == 0)]
    if empty:
        raise DataError(f"expected at least one row of every class, got none of {', '.join(empty)} in {where}")


def stratified_rows(labels: NDArray[np.int64], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw rows in proportion to the classes (largest remainder), in ascending order.

    Args:
        labels: [N] int64.
        count: rows to draw, at most N.
        generator: source of randomness.

    Returns:
        [count] int64 row numbers, ascending.
    """
    if not 0 <= count <= len(labels):
        raise DataError(f"expected a subset of at most {len(labels)} rows, got count {count}")
    drawn = [
        generator.permutation(np.flatnonzero(labels == name))[:take] for name, take in _shares(labels, count).items()
    ]
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def disjoint_rows(
    labels: NDArray[np.int64], count: int, place: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw rows in proportion to the classes, none of which another place draws, in ascending order.

    Args:
        labels: [N] int64.
        count: rows to draw.
        place: which draw, from 0; each takes the next rows of one order of each class.
        generator: source of that order, the same for every place.

    Returns:
        [count] int64 row numbers, ascending.

    Raises:
        DataError: a class that has not so many rows.
    """
    if count > len(labels):
        raise DataError(f"expected a subset of at most {len(labels)} rows, got count {count}")
    drawn = []
    for name, take in _shares(labels, count).items():
        rows = generator.permutation(np.flatnonzero(labels == name))
        if (place + 1) * take > len(rows):
            raise DataError(
                f"expected {take} rows of class {name} for each of {place + 1} disjoint draws of {count}, got "
                f"{len(rows)} in all; lower the count, or use lower numbers"
            )
        drawn.append(rows[place * take : (place + 1) * take])
    return np.sort(np.concatenate(drawn)).astype(np.int64)


def _shares(labels: NDArray[np.int64], count: int) -> dict[int, int]:
    """Return how many rows of each class a stratified draw takes, by largest remainder."""
    classes, sizes = np.unique(labels, return_counts=True)
    shares = sizes * count / len(labels)
    takes = np.floor(shares).astype(np.int64)
    order = np.argsort(-(shares - takes), kind="stable")
    takes[order[: count - int(takes.sum())]] += 1
    return dict(zip(classes.tolist(), takes.tolist(), strict=True))


def subset_rows(labels: NDArray[np.int64], count: int | None, purpose: str) -> NDArray[np.int64]:
    """Draw the rows that stand for all of a set: in proportion to the classes, the same each time.

    The draw depends on the labels and the purpose alone, so that all runs are measured on the same images. In each
    class, a smaller draw is part of a larger one.

    Args:
        labels: [N] int64.
        count: rows to draw; None, or more than there are: all.
        purpose: what they are for; another purpose draws others.

    Returns:
        Row numbers, int64, ascending.
    """
    if count is None or count >= len(labels):
        return np.arange(len(labels), dtype=np.int64)
    return stratified_rows(labels, count, numpy_generator(0, "subset", purpose))
