"""Tiny-ImageNet (Le & Yang 2015) as it is published: 200 classes, JPEGs of 64 x 64.

`wnids.txt` names the classes, one per line; `train/<class>/images/` has their train images; `val/images/` has the test
images, and `val/val_annotations.txt` their classes: name, class and box of each, by tabs. Its own test images have no
labels, and are not read.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from pumalib.data.settings import TinyImagenetSettings
from pumalib.data.sources.class_folders import images_below, some_of, without_images
from pumalib.data.sources.image_files import ListedFiles, read_files, view_of
from pumalib.data.sources.image_places import Place, place_at
from pumalib.data.sources.raw import ClassCounts, RawDataset, SourceShape
from pumalib.errors import ConfigError, DataError

_CLASSES, _ANNOTATIONS = "wnids.txt", "val/val_annotations.txt"

log = logging.getLogger(__name__)


def look(settings: TinyImagenetSettings, where: str) -> SourceShape:
    """Return what the images will be, without listing them.

    Raises:
        ConfigError: no such folder, or files that are missing.
    """
    if not Path(settings.path).exists():
        raise ConfigError(
            f"expected the folder or a tar file of Tiny-ImageNet, found none at {settings.path}, named at {where}.path"
        )
    try:
        place = _place(settings)
        names = _class_names(place, settings)
        _annotated(place, settings, names)
        missing = [name for name in names if not place.has_folder(f"train/{name}/images")]
    except DataError as error:
        raise ConfigError(f"{error}, named at {where}.path") from None
    if missing:
        raise ConfigError(
            f"expected train/<class>/images for each class of {_CLASSES} in {settings.path}, found none of "
            f"{some_of(missing)}, named at {where}.path"
        )
    shape = settings.image_size, settings.image_size, settings.channels
    return SourceShape(shape, len(names), class_names=names)


def files(settings: TinyImagenetSettings) -> tuple[str, ...]:
    """Return the user's own folder or tar file, and the files that its classes are grouped by."""
    return (settings.path, *settings.class_files)


def class_counts(settings: TinyImagenetSettings) -> ClassCounts:
    """List the train and the test images, and count them by class.

    Raises:
        DataError: files that are missing, or do not fit each other.
    """
    place = _place(settings)
    return _counted(_class_names(place, settings), _lists(place, settings))


def _counted(names: tuple[str, ...], lists: tuple[ListedFiles, ListedFiles]) -> ClassCounts:
    train, test = (Counter(each.labels) for each in lists)
    return ClassCounts(*({name: count[label] for label, name in enumerate(names)} for count in (train, test)))


def load(settings: TinyImagenetSettings, data_dir: Path) -> RawDataset:
    """Load the train images, and the validation images as test images.

    Raises:
        DataError: files that are missing, or do not fit each other, or an unreadable image.
    """
    place = _place(settings)
    lists = _lists(place, settings)
    found = read_files(place, Path(settings.path), lists, settings, view_of(settings), settings.skip_unreadable)
    names = _class_names(place, settings)
    return RawDataset(found.splits[0], found.splits[1], names, found.skipped, _counted(names, lists))


def _place(settings: TinyImagenetSettings) -> Place:
    return place_at(Path(settings.path))


def _lists(place: Place, settings: TinyImagenetSettings) -> tuple[ListedFiles, ListedFiles]:
    root, names = Path(settings.path), _class_names(place, settings)
    paths: list[str] = []
    labels: list[int] = []
    left_out: dict[str, str] = {}
    for label, name in enumerate(names):
        folder = f"train/{name}/images"
        try:
            found = sorted(images_below(place, folder, folder, left_out))
        except OSError:
            found = []
        if not found:
            raise DataError(without_images(root / "train", name))
        paths += found
        labels += [label] * len(found)
    if left_out:
        log.warning("%d entries of %s are left out: %s", len(left_out), root / "train", some_of(list(left_out)))
    annotated = _annotated(place, settings, names)
    test = [f"val/images/{name}" for name in annotated]
    return (
        ListedFiles(root / "train", paths, labels, paths),
        ListedFiles(root / "val", test, list(annotated.values()), test),
    )


def _class_names(place: Place, settings: TinyImagenetSettings) -> tuple[str, ...]:
    names = tuple(_text(place, settings, _CLASSES).split())
    if not names or len(set(names)) < len(names):
        raise DataError(
            f"expected the names of different classes, one per line, got {len(names)} of which {len(set(names))} "
            f"differ in {Path(settings.path) / _CLASSES}"
        )
    return names


def _annotated(place: Place, settings: TinyImagenetSettings, names: tuple[str, ...]) -> dict[str, int]:
    """Return the label of each image of `val/images`, by its name."""
    labels = {name: label for label, name in enumerate(names)}
    found: dict[str, int] = {}
    for number, line in enumerate(_text(place, settings, _ANNOTATIONS).splitlines(), 1):
        image, _, rest = line.partition("\t")
        name = rest.partition("\t")[0]
        if name not in labels or image in found:
            raise DataError(
                f"expected an image named once and a class of {_CLASSES}, by tabs, got {line[:60]!r} at line {number} "
                f"of {Path(settings.path) / _ANNOTATIONS}"
            )
        found[image] = labels[name]
    if not found:
        raise DataError(f"expected images and their classes, got none in {Path(settings.path) / _ANNOTATIONS}")
    return found


def _text(place: Place, settings: TinyImagenetSettings, path: str) -> str:
    try:
        return place.read(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"expected the file {path} of Tiny-ImageNet in {settings.path}, got: {error}") from None
