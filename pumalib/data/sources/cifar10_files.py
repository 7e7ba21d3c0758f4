"""CIFAR-10 as it is published: the seven files of its Python version, in a folder of the user.

The files are pickles of Python 2. They are read by `array_pickles`, so that no file can run code, whatever its digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pumalib.data.array_pickles import PickledArray, bytes_of, read_pickle
from pumalib.data.images import LabelledImages, check_labels, concatenate
from pumalib.data.settings import Cifar10FilesSettings
from pumalib.data.sources.raw import RawDataset, SourceShape
from pumalib.errors import ConfigError, DataError

TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST, META = "test_batch", "batches.meta"

PUBLISHED = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}
"""MD5 of each published file, as torchvision has them too."""

_SIDE, _CHANNELS, _NUM_CLASSES = 32, 3, 10
_PIXELS = _CHANNELS * _SIDE * _SIDE
_NUM_ROWS = (50_000, 10_000)
FORM = (
    f"{len(TRAIN)} files {TRAIN[0]} ... {TRAIN[-1]} and {TEST}: pickles with data, uint8 [N, {_PIXELS}] (red, green, "
    f"blue planes of {_SIDE} x {_SIDE}), and labels, N integers in [0, {_NUM_CLASSES})",
    f"{META}: a pickle with label_names, the names of {_NUM_CLASSES} classes",
)
"""What the files hold, in words."""

PUBLISHED_FORM = "the published files, N = 10,000 each, by their MD5 digests"


def look(settings: Cifar10FilesSettings, where: str) -> SourceShape:
    """Return what the images are; the published files need only be there, others are read for their numbers of rows.

    Raises:
        ConfigError: a file that is not there, or one of another form.
    """
    shape, folder = (_SIDE, _SIDE, _CHANNELS), Path(settings.path)
    missing = [name for name in PUBLISHED if not (folder / name).is_file()]
    if missing:
        raise ConfigError(f"{_none_there(folder, missing)}, named at {where}.path")
    if settings.published:
        return SourceShape(shape, _NUM_CLASSES, _NUM_ROWS)
    try:
        train, test = sum(len(_batch(folder / name)) for name in TRAIN), len(_batch(folder / TEST))
        names = _class_names(folder / META)
    except DataError as error:
        raise ConfigError(f"{error}, named at {where}.path") from None
    return SourceShape(shape, _NUM_CLASSES, (train, test), names)


def files(settings: Cifar10FilesSettings) -> tuple[str, ...]:
    """Return the user's own files."""
    return tuple(str(Path(settings.path) / name) for name in PUBLISHED)


def load(settings: Cifar10FilesSettings, data_dir: Path) -> RawDataset:
    """Load the images and the names of their classes.

    Raises:
        DataError: a file that is not there, is not the published one where it should be, or has another form.
    """
    folder = Path(settings.path)
    for told in problems(settings):
        raise DataError(told)
    train = _batch(folder / TRAIN[0])
    for name in TRAIN[1:]:
        train = concatenate(train, _batch(folder / name))
    return RawDataset(train, _batch(folder / TEST), _class_names(folder / META))


def problems(settings: Cifar10FilesSettings) -> list[str]:
    """Read every file, and return a sentence for each that is not as expected."""
    folder = Path(settings.path)
    missing = [name for name in PUBLISHED if not (folder / name).is_file()]
    told = [_none_there(folder, missing)] if missing else []
    for name, published in PUBLISHED.items():
        if name in missing:
            continue
        try:
            if settings.published:
                _expect_published(folder / name, published)
            _class_names(folder / name) if name == META else _batch(folder / name)
        except DataError as error:
            told.append(str(error))
    return told


def _none_there(folder: Path, missing: list[str]) -> str:
    archives = [each for each in (folder, *folder.parents[:1]) if (each / "cifar-10-python.tar.gz").is_file()]
    hint = f"; unpack {archives[0] / 'cifar-10-python.tar.gz'}" if archives else ""
    return f"expected the files of CIFAR-10 in {folder}, found no {', '.join(missing)}{hint}"


def _expect_published(path: Path, published: str) -> None:
    found = hashlib.md5(bytes_of(path), usedforsecurity=False).hexdigest()
    if found != published:
        raise DataError(
            f"expected the published file {path.name} of CIFAR-10 (MD5 {published}), got {path.stat().st_size:,} bytes "
            f"of MD5 {found} at {path}; download cifar-10-python.tar.gz again"
        )


def _batch(path: Path) -> LabelledImages:
    contents = read_pickle(path)
    data, labels = _entry(contents, "data", path), _entry(contents, "labels", path)
    pixels = data.whole(path) if isinstance(data, PickledArray) else None
    if pixels is None or pixels.dtype != np.uint8 or pixels.ndim != 2 or pixels.shape[1] != _PIXELS:
        got = type(data).__name__ if pixels is None else f"{pixels.dtype} {list(pixels.shape)}"
        raise DataError(f"expected data as uint8 [N, {_PIXELS}] in {path}, got {got}")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        kinds = ", ".join(sorted({type(label).__name__ for label in labels})) if isinstance(labels, list) else ""
        raise DataError(
            f"expected labels as a list of integers in {path}, got {type(labels).__name__} {kinds}".rstrip()
        )
    numbers = np.array(labels, np.int64)
    check_labels(numbers, len(pixels), _NUM_CLASSES, str(path))
    images = pixels.reshape(-1, _CHANNELS, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return LabelledImages(np.ascontiguousarray(images), numbers)


def _class_names(path: Path) -> tuple[str, ...]:
    names = _entry(read_pickle(path), "label_names", path)
    is_text = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not is_text or len(set(names)) != _NUM_CLASSES:
        raise DataError(f"expected label_names as {_NUM_CLASSES} different names in {path}, got {names!r:.200}")
    return tuple(names)


def _entry(contents: Mapping[Any, Any], key: str, path: Path) -> Any:
    if key not in contents:
        found = ", ".join(map(str, contents)) or "nothing"
        raise DataError(f"expected key {key!r} in {path}, got {found[:200]}")
    return contents[key]
