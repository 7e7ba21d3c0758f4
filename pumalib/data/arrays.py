"""Numbers that a user hands over, as arrays of one kind: native byte order, contiguous, of a width that torch knows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pumalib.errors import DataError


def as_array(values: ArrayLike, what: str) -> NDArray[Any]:
    """Return values as an array: integers but uint8 as int64, floats wider than float64 as that, all else as it is.

    Args:
        values: nested lists, an array, a tensor on any device, or what NumPy turns into an array.
        what: they are, for the message.

    Raises:
        DataError: no array, lists of different lengths, text or objects, or integers beyond int64.
    """
    if hasattr(values, "detach"):  # a tensor; torch is not imported for those who give none
        values = values.detach().cpu().numpy()
    try:
        array = np.asarray(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(f"expected {what} as an array of numbers, got {type(values).__name__}: {error}") from None
    if array.dtype.kind not in "biufc":
        raise DataError(f"expected {what} as an array of numbers, got {array.dtype} {list(array.shape)}")
    if array.dtype.kind == "u" and array.size and int(array.max()) > np.iinfo(np.int64).max:
        raise DataError(f"expected {what} of at most {np.iinfo(np.int64).max}, got {int(array.max())}")
    if array.dtype.kind in "iu" and array.dtype != np.uint8:
        array = array.astype(np.int64)
    elif array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False)).reshape(array.shape)


def as_labels(values: ArrayLike, count: int, what: str = "labels") -> NDArray[np.int64]:
    """Return labels, one per image, as int64.

    Args:
        values: [count] integers.
        count: images.
        what: they are, for the message.

    Raises:
        DataError: not integers, or not one per image.
    """
    labels = as_array(values, what)
    if labels.ndim == 2 and len(labels) == count and labels.shape[1] > 1:
        raise DataError(
            f"expected one of the {what} for each of {count} images, got {list(labels.shape)}, which looks one-hot; "
            "give the argmax over axis 1"
        )
    if labels.shape != (count,):
        raise DataError(f"expected one of the {what} for each of {count} images, got {list(labels.shape)}")
    if labels.dtype.kind not in "iu":
        raise DataError(f"expected integer {what}, got {labels.dtype}")
    return labels.astype(np.int64)


def as_numbers(values: ArrayLike, what: str) -> NDArray[np.int64]:
    """Return a list of row numbers as int64, [K].

    Raises:
        DataError: not integers, or no list.
    """
    numbers = as_array(values, what)
    if not numbers.size and numbers.ndim == 1:
        return np.empty(0, np.int64)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise DataError(f"expected {what} as integers [K], got {numbers.dtype} {list(numbers.shape)}")
    return numbers.astype(np.int64)


def as_sources(values: ArrayLike, count: int) -> NDArray[np.uint8]:
    """Return the source of each of `count` rows, 0 real or 1 synthetic.

    Raises:
        DataError: other numbers, or not one per row.
    """
    source = as_labels(values, count, "sources")
    if count and not 0 <= source.min() <= source.max() <= 1:
        raise DataError(f"expected sources 0 (real) or 1 (synthetic), got {source.min()}..{source.max()}")
    return source.astype(np.uint8)


def as_images(values: ArrayLike) -> NDArray[np.uint8]:
    """Return images as uint8 [N, H, W, C].

    Both layouts are taken: the channels last, or, as networks have them, first. Both kinds of numbers are: uint8, or
    floats in [0, 1] that are multiples of 1/255.

    Args:
        values: [N, H, W, C] or [N, C, H, W], C 1 or 3; the first, where a shape could be both.

    Raises:
        DataError: other shapes, or numbers that uint8 does not hold.
    """
    images = as_array(values, "images")
    if images.ndim != 4 or 0 in images.shape:
        raise DataError(f"expected images as uint8 [N, H, W, C], got {images.dtype} {list(images.shape)}")
    first, last = images.shape[1] in _CHANNELS, images.shape[3] in _CHANNELS
    if not first and not last:
        raise DataError(f"expected images [N, H, W, C] or [N, C, H, W] with 1 or 3 channels, got {list(images.shape)}")
    return _as_uint8(images if last else images.transpose(0, 2, 3, 1))


def has_channels_last(shape: tuple[int, ...]) -> bool:
    """Return whether images of this shape are [N, H, W, C] and cannot be [N, C, H, W]."""
    return shape[3] in _CHANNELS and shape[1] not in _CHANNELS


_CHANNELS = (1, 3)


def _as_uint8(images: NDArray[Any]) -> NDArray[np.uint8]:
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.dtype.kind != "f" or not (np.isfinite(images).all() and 0 <= images.min() <= images.max() <= 1):
        raise DataError(f"expected images as uint8, or as floats in [0, 1], got {images.dtype}{_range_of(images)}")
    levels = np.rint(images * 255)
    if np.abs(levels - images * 255).max() > _LEVEL_TOLERANCE:
        raise DataError(
            "expected images as uint8, or as floats that are multiples of 1/255, got floats between them; "
            "round them: (images * 255).round().astype(uint8)"
        )
    return np.ascontiguousarray(levels.astype(np.uint8))


_LEVEL_TOLERANCE = 1e-2
"""Of a level of uint8: far above the rounding of float32 and far below the next level."""


def _range_of(images: NDArray[Any]) -> str:
    return f" in {images.min():g}..{images.max():g}" if images.dtype.kind in "fiu" else ""
