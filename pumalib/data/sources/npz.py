"""npz files with `image` and `label`, as published sets of generated images use them.

Images are streamed block by block out of the zip member, so a subset of a 30 GB file needs the room of the subset
alone: in memory, or in a temporary file where it is large. Pickled members are never loaded.
"""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from pumalib.data.images import LabelledImages, check_image_form, check_labels, scratch_array, stratified_rows
from pumalib.data.settings import NpzDatasetSettings
from pumalib.data.sources.raw import RawDataset, SourceShape
from pumalib.errors import ConfigError, DataError
from pumalib.randomness import numpy_generator

_BLOCK_BYTES = 1 << 23
_MOST_PACKED, _SMALL_BYTES = 200, 1 << 28
"""Times that a member of more than so many bytes may be packed: more is a bomb."""

_UNREADABLE = (OSError, EOFError, RuntimeError, UnicodeDecodeError, struct.error, zipfile.BadZipFile, zlib.error)
"""What `zipfile` raises over damaged, encrypted or oddly compressed files."""


def look(settings: NpzDatasetSettings, where: str) -> SourceShape:
    """Return what the images are, from the headers and labels of the files.

    Raises:
        ConfigError: a file that is not there or cannot be read, or test images of another shape.
    """
    count, train = look_at(settings.train, f"{where}.train")
    try:
        _expect_a_row_of_each(train.num_classes or 0, count, settings.train)
    except DataError as error:
        raise ConfigError(f"{error}, named at {where}.train") from None
    num_classes = len(settings.class_names) if settings.class_names else train.num_classes or 0
    _expect_labels(train.num_classes or 0, num_classes, settings.train, f"{where}.train")
    num_tested = 0
    if settings.test is not None:
        num_tested, test = look_at(settings.test, f"{where}.test")
        expect_shape(test.image_shape, train.image_shape, settings.train, f"{where}.test")
        _expect_labels(test.num_classes or 0, num_classes, settings.test, f"{where}.test")
    _expect_every_label(settings, num_classes, where)
    return SourceShape(train.image_shape, num_classes, (count, num_tested), settings.class_names or ())


def _expect_a_row_of_each(num_classes: int, num_rows: int, path: str) -> None:
    if num_classes > num_rows:
        raise DataError(
            f"expected a row at least of each class, got label {num_classes - 1} among {num_rows} rows in {path}; "
            "number the classes 0, 1, 2, ..."
        )


def _expect_every_label(settings: NpzDatasetSettings, num_classes: int, where: str) -> None:
    """Refuse files without a row of some class: with a seeded split in both together, else in either."""
    paths = {key: path for key, path in (("train", settings.train), ("test", settings.test)) if path is not None}
    found = {key: _labels_in(path) for key, path in paths.items()}
    if settings.is_seeded:
        found = {"train": set().union(*found.values())}
    for key, labels in found.items():
        missing = [str(label) for label in range(num_classes) if label not in labels]
        if missing:
            raise ConfigError(
                f"expected a row at least of each of {num_classes} classes, got none of label {', '.join(missing)} in "
                f"{paths[key]}, named at {where}.{key}; number the classes 0, 1, 2, ..."
            )


def _labels_in(path: str) -> set[int]:
    with _opened(path) as archive:
        return set(np.unique(_read_whole(archive, "label", path)).tolist())


def _expect_labels(found: int, num_classes: int, path: str, where: str) -> None:
    if found > num_classes:
        raise ConfigError(f"expected labels in [0, {num_classes}), got {found - 1} in {path}, named at {where}")


def look_at(path: str, where: str) -> tuple[int, SourceShape]:
    """Return the number of images of a file and what they are.

    Raises:
        ConfigError: it is not there, or cannot be read.
    """
    if not Path(path).is_file():
        raise ConfigError(f"expected a file, found none at {path}, named at {where}")
    try:
        (count, height, width, channels), num_classes = npz_image_shape(path)
    except DataError as error:
        raise ConfigError(f"{error}, named at {where}") from None
    return count, SourceShape((height, width, channels), num_classes)


def expect_shape(shape: tuple[int, ...], expected: tuple[int, ...], like: str, where: str) -> None:
    """Refuse images of another shape.

    Raises:
        ConfigError: they are.
    """
    if shape != expected:
        raise ConfigError(f"expected images of shape {expected}, as in {like}, got {shape} at {where}")


def files(settings: NpzDatasetSettings) -> tuple[str, ...]:
    """Return the user's own files."""
    return (settings.train,) if settings.test is None else (settings.train, settings.test)


def load(settings: NpzDatasetSettings, data_dir: Path) -> RawDataset:
    """Load train and test files.

    Raises:
        DataError: a missing key, an array that needs pickle, a wrong dtype or shape, labels out of range.
    """
    train = read_npz(settings.train)
    _expect_a_row_of_each(int(train.labels.max()) + 1, len(train), settings.train)
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
        shape = _image_shape(archive, path)
        check_labels(labels, shape[0], None, str(path))
        if count is not None and count > len(labels):
            raise DataError(f"expected at least {count} images, got {len(labels)} in {path}; lower count")
        labels = labels.astype(np.int64)
        rows = (
            np.arange(len(labels), dtype=np.int64)
            if count is None
            else stratified_rows(labels, count, numpy_generator(seed, "npz subset"))
        )
        return LabelledImages(_read_rows(archive, "image", path, rows), labels[rows])


def npz_image_shape(path: str | Path) -> tuple[tuple[int, ...], int]:
    """Return the shape of `image` and the number of classes, reading the header and the labels only."""
    with _opened(path) as archive:
        shape = _image_shape(archive, path)
        labels = _read_whole(archive, "label", path)
        check_labels(labels, shape[0], None, str(path))
    return shape, int(labels.max()) + 1


@contextmanager
def _opened(path: str | Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _UNREADABLE as error:
        raise DataError(
            f"expected an npz file with image and label, got a damaged or foreign file at {path}: {error}"
        ) from None


@contextmanager
def _member(archive: zipfile.ZipFile, key: str, path: str | Path) -> Iterator[IO[bytes]]:
    if f"{key}.npy" not in archive.namelist():
        found = ", ".join(name.removesuffix(".npy") for name in archive.namelist()) or "nothing"
        raise DataError(f"expected key {key!r} in {path}, got {found}")
    info = archive.getinfo(f"{key}.npy")
    if info.file_size > _SMALL_BYTES and info.file_size > _MOST_PACKED * max(1, info.compress_size):
        raise DataError(
            f"expected {key!r} in {path} packed at most {_MOST_PACKED} times, got {info.file_size:,} bytes in "
            f"{info.compress_size:,}: no images pack so well; save it without compression if they do"
        )
    with archive.open(info) as stream:
        yield stream


def _read_header(stream: IO[bytes], key: str, path: str | Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(stream)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = reader(stream)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, OverflowError) as error:
        raise DataError(f"expected an array as {key!r} in {path}: {error}") from None
    if any(length < 0 for length in shape):
        raise DataError(f"expected an array as {key!r} in {path}, got shape {shape}")
    if dtype.hasobject:
        raise DataError(f"expected a plain array as {key!r} in {path}, got one that needs pickle; save it as numbers")
    if is_fortran and len(shape) > 1:
        raise DataError(f"expected {key!r} in C order in {path}, got Fortran order; save np.ascontiguousarray of it")
    return shape, dtype


def _image_shape(archive: zipfile.ZipFile, path: str | Path) -> tuple[int, ...]:
    with _member(archive, "image", path) as stream:
        shape, dtype = _read_header(stream, "image", path)
    check_image_form(dtype, shape, str(path))
    return shape


def _read_whole(archive: zipfile.ZipFile, key: str, path: str | Path) -> NDArray[Any]:
    with _member(archive, key, path) as stream:
        shape, dtype = _read_header(stream, key, path)
        _expect_declared(archive, key, math.prod(shape) * dtype.itemsize, path)
        data = _read_exactly(stream, math.prod(shape) * dtype.itemsize, path)
        _expect_end(stream, key, path)
    return np.frombuffer(data, dtype).reshape(shape)


def _read_rows(archive: zipfile.ZipFile, key: str, path: str | Path, rows: NDArray[np.int64]) -> NDArray[Any]:
    with _member(archive, key, path) as stream:
        shape, dtype = _read_header(stream, key, path)
        _expect_declared(archive, key, math.prod(shape) * dtype.itemsize, path)
        row_bytes = math.prod(shape[1:]) * dtype.itemsize
        taken = scratch_array((len(rows), *shape[1:]), dtype)
        block_rows = max(1, _BLOCK_BYTES // row_bytes)
        for start in range(0, shape[0], block_rows):
            stop = min(start + block_rows, shape[0])
            block = np.frombuffer(_read_exactly(stream, (stop - start) * row_bytes, path), dtype)
            first, last = np.searchsorted(rows, [start, stop])
            taken[first:last] = block.reshape(-1, *shape[1:])[rows[first:last] - start]
        _expect_end(stream, key, path)
    return taken


def _expect_declared(archive: zipfile.ZipFile, key: str, size: int, path: str | Path) -> None:
    """Refuse an array that declares more than its member has, before memory is taken for it."""
    held = archive.getinfo(f"{key}.npy").file_size
    if not size < held <= size + _LARGEST_HEADER:
        raise DataError(f"expected {size:,} bytes of {key!r} in {path}, as its header says, got {held:,}")


_LARGEST_HEADER = 1 << 16


def _expect_end(stream: IO[bytes], key: str, path: str | Path) -> None:
    """Read on to the end, where `zipfile` compares the checksum."""
    if stream.read(1):
        raise DataError(f"expected {key!r} to end with its last row, got more bytes in {path}: the file is damaged")


def _read_exactly(stream: IO[bytes], size: int, path: str | Path) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        raise DataError(f"expected {size} more bytes in {path}, got {len(data)}: the file is truncated")
    return data
