"""Images [N, H, W, C] uint8 that are read when they are asked for: some rows of others, or several after one another.

Indexing with row numbers reads those rows alone. Imports no torch.
"""

from __future__ import annotations

import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 1 << 26
"""Bytes of images that are in memory at once where all are walked through. A choice of ours."""


class LazyImages(ABC):
    """Images that are read when they are asked for."""

    dtype, ndim = np.dtype(np.uint8), 4

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    @abstractmethod
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""

    @abstractmethod
    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read rows [B], all of them in [0, N), as [B, H, W, C]."""

    @abstractmethod
    def take(self, rows: NDArray[np.int64]) -> LazyImages:
        """Return some of the images, none of which is read yet."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """[N, H, W, C]."""
        return len(self), *self.image_shape

    @property
    def size(self) -> int:
        """How many numbers there are in all."""
        return math.prod(self.shape)

    def __getitem__(self, rows: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        _check_rows(rows, len(self))
        return self.read(rows)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[:].astype(dtype or self.dtype, copy=False)


Images = NDArray[np.uint8] | LazyImages
"""Images in memory or mapped from a file, or read when they are asked for; [N, H, W, C] uint8."""


@dataclass(frozen=True)
class JoinedImages(LazyImages):
    """Images of several places, one after another.

    Attributes:
        parts: [n, H, W, C] each, of one shape.
    """

    parts: tuple[Images, ...]

    def __len__(self) -> int:
        return sum(len(part) for part in self.parts)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width, channels = self.parts[0].shape[1:]
        return height, width, channels

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read rows [B] as [B, H, W, C]."""
        taken = np.empty((len(rows), *self.image_shape), np.uint8)
        start = 0
        for part in self.parts:
            inside = (rows >= start) & (rows < start + len(part))
            if inside.any():
                taken[inside] = read_rows(part, rows[inside] - start)
            start += len(part)
        return taken

    def take(self, rows: NDArray[np.int64]) -> LazyImages:
        """Return some of the images."""
        return TakenImages(self, rows)


@dataclass(frozen=True)
class TakenImages(LazyImages):
    """Some rows of other images.

    Attributes:
        images: the others.
        rows: [N] int64, which of them.
    """

    images: Images
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width, channels = self.images.shape[1:]
        return height, width, channels

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Read rows [B] as [B, H, W, C]."""
        return read_rows(self.images, self.rows[rows])

    def take(self, rows: NDArray[np.int64]) -> LazyImages:
        """Return some of the images."""
        return TakenImages(self.images, self.rows[rows])


def take_images(images: Images, rows: NDArray[np.int64]) -> Images:
    """Return some rows [B]: copied where the images are in memory, else read when they are asked for."""
    if isinstance(images, LazyImages):
        return images.take(rows)
    return TakenImages(images, rows) if isinstance(images, np.memmap) else images[rows]


def read_rows(images: Images, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Read rows [B] as [B, H, W, C], in memory."""
    if isinstance(images, np.memmap):
        _ask_for(images, rows)
    return images[rows]


def read_all(images: Images) -> NDArray[np.uint8]:
    """Return all images [N, H, W, C] in memory, in an array that may be written to."""
    return images[:] if isinstance(images, LazyImages) else np.array(images, subok=False)


def blocks_of(images: Images) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """Yield all images in blocks that fit in memory, each with its rows."""
    size = max(1, BLOCK_BYTES // max(1, math.prod(images.shape[1:])))
    for start in range(0, len(images), size):
        block = slice(start, min(start + size, len(images)))
        yield block, images[block]


def _check_rows(rows: NDArray[Any], count: int) -> None:
    if not np.issubdtype(rows.dtype, np.integer):
        raise TypeError(f"expected row numbers as integers, got {rows.dtype}; a mask needs np.flatnonzero")
    if len(rows) and (rows.min() < 0 or rows.max() >= count):
        raise IndexError(f"expected rows in [0, {count}), got {rows.min()}..{rows.max()}")


def _ask_for(mapped: np.memmap[Any, Any], rows: NDArray[np.int64]) -> None:
    """Let the system read these rows of a file all at once, and nothing around them.

    Without, it waits for one after another.
    """
    row_bytes = mapped[:1].nbytes
    ask_for_bytes(mapped, rows * row_bytes, np.full(len(rows), row_bytes))


def ask_for_bytes(mapped: np.memmap[Any, Any], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
    """Let the system read these spans [B] of a mapped file all at once."""
    if mapped.filename is None or not hasattr(os, "posix_fadvise"):  # a file without a name, or another system
        return
    with open(str(mapped.filename), "rb") as file:
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            os.posix_fadvise(file.fileno(), mapped.offset + start, length, os.POSIX_FADV_WILLNEED)
