"""What a folder of images holds: classes, counts, sizes and colours, from the heads of the files."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pumalib.data.sources.class_folders import Listing, expect_same_classes, listing_of
from pumalib.data.sources.image_places import Place, place_at
from pumalib.errors import DataError

_MOST_LOOKED_AT = 2000
_GREY = {"1", "L", "LA", "I", "I;16", "F"}
_OPEN_TO_WHAT_IS_BEHIND = {"LA", "RGBA", "PA"}


@dataclass(frozen=True)
class Survey:
    """What a folder of class folders holds.

    Attributes:
        path: as it was given.
        has_test: whether it has folders `train` and `test`, each with class folders.
        num_classes: how many classes there are.
        num_images: of the train folder, or of all.
        num_test: of the test folder; 0 without one.
        fewest: images of the smallest class, of those in `num_images`.
        sides: shorter sides of the images that were looked at, in pixels.
        share_not_square: of these images.
        is_grey: whether all of these are grey.
        is_transparent: whether some of these have transparent pixels.
    """

    path: str
    has_test: bool
    num_classes: int
    num_images: int
    num_test: int
    fewest: int
    sides: tuple[int, ...]
    share_not_square: float
    is_grey: bool
    is_transparent: bool


def survey(path: str) -> Survey:
    """List a folder, or a tar file, and look at the heads of up to 2,000 images, evenly taken.

    Raises:
        DataError: no such folder, no classes, one without images, other classes in the test folder, or a file that is
            no image.
    """
    root = Path(path)
    if not root.exists():
        raise DataError(f"expected a folder of images, found nothing at {path}")
    place = place_at(root) if root.is_dir() or root.is_file() else None
    if place is None:
        raise DataError(f"expected a folder or a tar file of images, got neither at {path}")
    parts = ["train", "test"] if place.has_folder("train") and place.has_folder("test") else [""]
    listings = [listing_of(place, part, root / part) for part in parts]
    expect_same_classes([root / part for part in parts], [listing.class_names for listing in listings])
    listed = [
        f"{part}/{file}" if part else file for part, each in zip(parts, listings, strict=True) for file, _ in each.files
    ]
    return _surveyed(path, listings, [_head(place, root, file) for file in _evenly(listed)])


def _evenly(paths: Sequence[str]) -> list[str]:
    step = max(-(-len(paths) // _MOST_LOOKED_AT), 1)
    return list(paths[::step])


def _head(place: Place, root: Path, path: str) -> tuple[int, int, str, bool]:
    """Return width, height, mode and transparency of an image, without its pixels."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(place.read(path))) as image:
            is_open = image.mode in _OPEN_TO_WHAT_IS_BEHIND or "transparency" in image.info
            return *image.size, image.mode, is_open
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise DataError(f"expected an image, got: {error} at {root / path}; take it out of the folder") from None


def _surveyed(path: str, listings: Sequence[Listing], heads: Sequence[tuple[int, int, str, bool]]) -> Survey:
    first = listings[0]
    counts = Counter(label for _, label in first.files)
    return Survey(
        path=path,
        has_test=len(listings) > 1,
        num_classes=len(first.class_names),
        num_images=len(first.files),
        num_test=sum(len(each.files) for each in listings[1:]),
        fewest=min(counts.values()),
        sides=tuple(min(width, height) for width, height, _, _ in heads),
        share_not_square=float(np.mean([width != height for width, height, _, _ in heads])),
        is_grey=all(mode in _GREY for _, _, mode, _ in heads),
        is_transparent=any(is_open for _, _, _, is_open in heads),
    )
