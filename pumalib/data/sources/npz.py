"""npz files with `image` and `label`, as published sets of generated images use them.

Images are streamed block by block out of the zip member, so a subset of a 30 GB file needs the memory of the
subset alone. Pickled members are never loaded.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pumalib.data.images import LabelledImages, check_images, check_labels, stratified_rows
from pumalib.data.settings import NpzDatasetSettings
from pumalib.data.sources.raw import RawDataset
from pumalib.errors import DataError
from pumalib.randomness import numpy_generator

_BLOCK_ROWS = 4096


def load(settings: NpzDatasetSettings, data_dir: Path) -> RawDataset:
    """Load train and test files.

    Raises:
        DataError: a missing key, an array that needs pickle, a wrong dtype or shape, labels out of range.
    """
    train = read_npz(settings.train)
    test = None if settings.test is None else read_npz(settings.test)
    names = settings.class_names or tuple(str(label) for label in range(int(train.labels.max()) + 1))
    return RawDataset(train, test, names)


def read_npz(path: str | Path, count: int | None = None, seed: int = 0) -> LabelledImages:
    """Read an npz file, or a stratified seeded subset of it, without loading it whole.

    Args:
        path: npz file with `image` uint8 [N, H, W, C] and `label` int [N].
        count: rows to take, in proportion to the classes; None: all.
        seed: seed of the subset.

    Returns:
        The rows in file order.

    Raises:
        DataError: not an npz file, a missing key, a pickled array, NaN, wrong dtype, shape or count.
    """
    with _opened(path) as archive:
        labels = _read_whole(archive, "label", path)
        shape, dtype = _header(archive, "image", path)
        if len(labels) != shape[0]:
            raise DataError(f"expected one label for each of {shape[0]} images, got {len(labels)} in {path}")
        if count is not None and count > len(labels):
            raise DataError(f"expected at least {count} images, got {len(labels)} in {path}; lower count")
        check_labels(labels, shape[0], None, str(path))
        labels = labels.astype(np.int64)
        rows = (
            np.arange(len(labels), dtype=np.int64)
            if count is None
            else stratified_rows(labels, count, numpy_generator(seed, "npz subset"))
        )
        images = _read_rows(archive, "image", path, rows)
    check_images(images, labels[rows], None, str(path))
    return LabelledImages(images, labels[rows])


def npz_image_shape(path: str | Path) -> tuple[tuple[int, ...], int]:
    """Return the shape of `image` and the number of classes, reading the header and the labels only."""
    with _opened(path) as archive:
        shape, _ = _header(archive, "image", path)
        labels = _read_whole(archive, "label", path)
        check_labels(labels, shape[0], None, str(path))
    return shape, int(labels.max()) + 1


@contextmanager
def _opened(path: str | Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"expected an npz file with image and label at {path}: {error}") from None


@contextmanager
def _member(archive: zipfile.ZipFile, key: str, path: str | Path) -> Iterator[IO[bytes]]:
    if f"{key}.npy" not in archive.namelist():
        found = ", ".join(name.removesuffix(".npy") for name in archive.namelist()) or "nothing"
        raise DataError(f"expected key {key!r} in {path}, got {found}")
    with archive.open(f"{key}.npy") as stream:
        yield stream


def _read_header(stream: IO[bytes], key: str, path: str | Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = reader(stream)
    except ValueError as error:
        raise DataError(f"expected an array as {key!r} in {path}: {error}") from None
    if dtype.hasobject:
        raise DataError(f"expected a plain array as {key!r} in {path}, got one that needs pickle; save it as numbers")
    if is_fortran and len(shape) > 1:
        raise DataError(f"expected {key!r} in C order in {path}, got Fortran order; save np.ascontiguousarray of it")
    return shape, dtype


def _header(archive: zipfile.ZipFile, key: str, path: str | Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with _member(archive, key, path) as stream:
        return _read_header(stream, key, path)


def _read_whole(archive: zipfile.ZipFile, key: str, path: str | Path) -> NDArray[Any]:
    with _member(archive, key, path) as stream:
        shape, dtype = _read_header(stream, key, path)
        return np.frombuffer(_read_exactly(stream, int(np.prod(shape)) * dtype.itemsize, path), dtype).reshape(shape)


def _read_rows(archive: zipfile.ZipFile, key: str, path: str | Path, rows: NDArray[np.int64]) -> NDArray[Any]:
    with _member(archive, key, path) as stream:
        shape, dtype = _read_header(stream, key, path)
        row_bytes = int(np.prod(shape[1:])) * dtype.itemsize
        taken = np.empty((len(rows), *shape[1:]), dtype)
        for start in range(0, shape[0], _BLOCK_ROWS):
            stop = min(start + _BLOCK_ROWS, shape[0])
            block = np.frombuffer(_read_exactly(stream, (stop - start) * row_bytes, path), dtype)
            first, last = np.searchsorted(rows, [start, stop])
            taken[first:last] = block.reshape(-1, *shape[1:])[rows[first:last] - start]
    return taken


def _read_exactly(stream: IO[bytes], size: int, path: str | Path) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise DataError(f"expected {size} more bytes in {path}, got {len(data)}: the file is truncated")
    return data
