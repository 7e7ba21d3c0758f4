"""Images in folders named by class, read as a viewer shows them: turned as their EXIF says, first frame, 8 bits."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from itertools import product
from pathlib import Path

from pumalib.data.settings import FolderSettings
from pumalib.data.sources.class_folders import (
    Listing,
    class_names_in_folder,
    expect_same_classes,
    images_below,
    listing_of,
    without_images,
)
from pumalib.data.sources.image_files import ListedFiles, read_files, view_of
from pumalib.data.sources.image_places import Place, place_at
from pumalib.data.sources.raw import ClassCounts, RawDataset, SourceShape
from pumalib.errors import ConfigError, DataError

_SPLITS = ("train", "test")

log = logging.getLogger(__name__)


def look(settings: FolderSettings, where: str) -> SourceShape:
    """Return what the images will be, without reading or listing them.

    Raises:
        ConfigError: no such folder, a class without images, or other classes in the test split.
    """
    path = Path(settings.path)
    if not path.exists():
        raise ConfigError(f"expected a folder or a tar file, found none at {settings.path}, named at {where}.path")
    try:
        place, parts = _opened(settings)
        roots = [path / part for part in parts]
        names = [class_names_in_folder(place, part, root)[0] for part, root in zip(parts, roots, strict=True)]
        expect_same_classes(roots, names)
        for (part, root), name in product(zip(parts, roots, strict=True), names[0]):
            with closing(images_below(place, f"{part}/{name}" if part else name, name, {})) as images:
                if next(images, None) is None:
                    raise DataError(without_images(root, name))
    except OSError as error:
        raise ConfigError(
            f"expected class folders at {error.filename}, got: {error.strerror}, named at {where}.path"
        ) from None
    except DataError as error:
        raise ConfigError(f"{error}, named at {where}.path") from None
    shape = settings.image_size, settings.image_size, settings.channels
    return SourceShape(shape, len(names[0]), class_names=names[0])


def class_counts(settings: FolderSettings) -> ClassCounts:
    """List the images of the train and the test folder, and count them by class.

    Raises:
        DataError: as `listing_of`, or other classes in the test split.
    """
    (_, parts), listings = _listings(settings)
    expect_same_classes([Path(settings.path) / part for part in parts], [each.class_names for each in listings])
    return _counted(listings)


def _counted(listings: Sequence[Listing]) -> ClassCounts:
    names, counts = listings[0].class_names, [Counter(label for _, label in each.files) for each in listings]
    by_name = [{name: count[label] for label, name in enumerate(names)} for count in counts]
    return ClassCounts(by_name[0], by_name[1] if len(by_name) > 1 else dict.fromkeys(names, 0))


def files(settings: FolderSettings) -> tuple[str, ...]:
    """Return the user's own folder or tar file, and the files that its classes are grouped by."""
    return (settings.path, *settings.class_files)


def load(settings: FolderSettings, data_dir: Path) -> RawDataset:
    """Load `path/train` and `path/test`, or all of `path` when the split is seeded.

    Raises:
        DataError: no class folder, an unreadable image, or other classes in the test split.
    """
    (place, parts), listings = _listings(settings)
    root = Path(settings.path)
    expect_same_classes([root / part for part in parts], [listing.class_names for listing in listings])
    for part, listing in zip(parts, listings, strict=True):
        told = listing.told(root / part)
        if told:
            log.warning("%s", told)
    lists = [_listed(root, part, listing) for part, listing in zip(parts, listings, strict=True)]
    found = read_files(place, root, lists, settings, view_of(settings), settings.skip_unreadable)
    test = found.splits[1] if len(parts) > 1 else None
    return RawDataset(found.splits[0], test, listings[0].class_names, found.skipped, _counted(listings))


def _opened(settings: FolderSettings) -> tuple[Place, list[str]]:
    """Return the place, and its folders of class folders: `train` and `test`, or "" where the split is seeded."""
    place = place_at(Path(settings.path))
    if settings.split == "seeded" and not place.has_folder("train"):
        return place, [""]
    return place, list(_SPLITS)


def _listings(settings: FolderSettings) -> tuple[tuple[Place, list[str]], Sequence[Listing]]:
    place, parts = _opened(settings)
    root = Path(settings.path)
    return (place, parts), [listing_of(place, part, root / part) for part in parts]


def _listed(root: Path, part: str, listing: Listing) -> ListedFiles:
    paths = [f"{part}/{path}" if part else path for path, _ in listing.files]
    return ListedFiles(root / part, paths, [label for _, label in listing.files], paths)
