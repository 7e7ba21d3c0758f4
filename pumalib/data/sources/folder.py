"""Images in folders named by class, read as a viewer shows them: turned as their EXIF says, first frame, 8 bits."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pumalib.data.images import LabelledImages
from pumalib.data.settings import FolderSettings
from pumalib.data.sources.raw import RawDataset, SourceShape
from pumalib.errors import ConfigError, DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_NUM_NAMED = 5
"""How many files a message names."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listing:
    """The image files of a folder of class folders.

    Attributes:
        class_names: in label order: by number where all are numbers, else by text.
        files: path below the folder, and label, of each image, by class and name.
        left_out: why, for each path below the folder that is no image of a class.
    """

    class_names: tuple[str, ...]
    files: tuple[tuple[str, int], ...]
    left_out: dict[str, str] = field(default_factory=dict)

    def told(self, root: Path) -> str:
        """Say in a sentence what is left out; "": nothing."""
        if not self.left_out:
            return ""
        reasons = Counter(self.left_out.values())
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        return f"{len(self.left_out)} entries of {root} are left out ({counts}): {_some(list(self.left_out))}"


def look(settings: FolderSettings, where: str) -> SourceShape:
    """Return what the images will be, without reading or listing them.

    Raises:
        ConfigError: no such folder, a class without images, or other classes in the test split.
    """
    root = Path(settings.path)
    if not root.is_dir():
        raise ConfigError(f"expected a folder, found none at {settings.path}, named at {where}.path")
    try:
        names = [_class_names(part)[0] for part in parts_of(settings)]
        _expect_same_classes(settings, names)
        for part, name in product(parts_of(settings), names[0]):
            with closing(_images_below(part / name, name, {})) as images:
                if next(images, None) is None:
                    raise DataError(_without_images(part, name))
    except OSError as error:
        raise ConfigError(
            f"expected class folders at {error.filename}, got: {error.strerror}, named at {where}.path"
        ) from None
    except DataError as error:
        raise ConfigError(f"{error}, named at {where}.path") from None
    shape = settings.image_size, settings.image_size, settings.channels
    return SourceShape(shape, len(names[0]), class_names=names[0])


def count_images(settings: FolderSettings) -> tuple[int, int]:
    """List the images of the train and the test folder, and count them; 0 of the test where its split is seeded.

    Raises:
        DataError: as `listing_of`.
    """
    counts = [len(listing_of(part).files) for part in parts_of(settings)]
    return counts[0], counts[1] if len(counts) > 1 else 0


def files(settings: FolderSettings) -> tuple[str, ...]:
    """Return the user's own folder."""
    return (settings.path,)


def load(settings: FolderSettings, data_dir: Path) -> RawDataset:
    """Load `path/train` and `path/test`, or all of `path` when the split is seeded.

    Raises:
        DataError: no class folder, an unreadable image, or other classes in the test split.
    """
    parts = parts_of(settings)
    listings = [listing_of(part) for part in parts]
    _expect_same_classes(settings, [listing.class_names for listing in listings])
    images = [_read(part, listing, settings) for part, listing in zip(parts, listings, strict=True)]
    return RawDataset(images[0], images[1] if len(images) > 1 else None, listings[0].class_names)


def parts_of(settings: FolderSettings) -> list[Path]:
    """Return the folders of class folders: `train` and `test`, or all of `path` when the split is seeded."""
    root = Path(settings.path)
    if settings.split == "seeded" and not (root / "train").is_dir():
        return [root]
    return [root / "train", root / "test"]


def listing_of(root: Path) -> Listing:
    """List the images of a folder of class folders, without reading them.

    Raises:
        DataError: no such folder, no class folder, a class without images, or two classes of one number.
    """
    try:
        names, left_out = _class_names(root)
        files: list[tuple[str, int]] = []
        for label, name in enumerate(names):
            found = sorted(_images_below(root / name, name, left_out))
            if not found:
                raise DataError(_without_images(root, name))
            files += [(path, label) for path in found]
    except OSError as error:
        raise DataError(f"expected class folders with images in {root}, got: {error.strerror}") from None
    return Listing(names, tuple(files), left_out)


def _class_names(root: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the names of class folders in label order, and what is left out beside them."""
    names, left_out = [], {}
    with os.scandir(root) as scanned:
        entries = sorted(scanned, key=lambda each: each.name)
    for entry in entries:
        if entry.name.startswith("."):
            left_out[entry.name] = "hidden"
        elif entry.is_dir():
            names.append(entry.name)
        else:
            left_out[entry.name] = "outside of class folders"
    if not names:
        raise DataError(f"expected class folders with images in {root}, got none")
    if all(name.isascii() and name.isdigit() for name in names):
        names.sort(key=int)
        same = [name for name, following in pairwise(names) if int(name) == int(following)]
        if same:
            raise DataError(f"expected class folders of different numbers in {root}, got {same[0]} twice")
    return tuple(names), left_out


def _without_images(root: Path, name: str) -> str:
    return f"expected an image at least in each class folder of {root}, found none in {name}"


def _images_below(folder: Path, inside: str, left_out: dict[str, str]) -> Generator[str]:
    """Yield the paths of images below a class folder, as the disk lists them, and note what is left out."""
    from PIL import Image

    Image.init()
    with os.scandir(folder) as entries:
        for entry in entries:
            path = f"{inside}/{entry.name}"
            if entry.name.startswith("."):
                left_out[path] = "hidden"
            elif entry.is_dir():
                yield from _images_below(folder / entry.name, path, left_out)
            elif not entry.is_file():
                left_out[path] = "no regular files"
            elif Path(entry.name).suffix.lower() in Image.EXTENSION:
                yield path
            else:
                left_out[path] = "without the ending of an image"


def _expect_same_classes(settings: FolderSettings, class_names: Sequence[tuple[str, ...]]) -> None:
    train, *others = class_names
    for test in others:
        if test != train:
            root = Path(settings.path)
            raise DataError(
                f"expected the same class folders in {root / 'train'} and {root / 'test'}, got "
                f"{', '.join(train)} and {', '.join(test)}"
            )


def _read(root: Path, listing: Listing, settings: FolderSettings) -> LabelledImages:
    shape = len(listing.files), settings.image_size, settings.image_size, settings.channels
    images, cut = np.empty(shape, np.uint8), _Cut()
    rows = tqdm(listing.files, desc=f"reading {root}", unit="image", disable=None)
    for row, (path, _) in enumerate(rows):
        images[row] = _read_image(root / path, settings, cut)
    for told in (listing.told(root), cut.told(root, len(images))):
        if told:
            log.warning("%s", told)
    labels = np.array([label for _, label in listing.files], np.int64)
    names = np.array([f"{root.name}/{path}" if root.name in _SPLITS else path for path, _ in listing.files], object)
    return LabelledImages(images, labels, names)


_SPLITS = ("train", "test")


@dataclass
class _Cut:
    """How much a centre crop cut away."""

    num_images: int = 0
    largest_share: float = 0.0

    def note(self, size: tuple[int, int]) -> None:
        """Count an image of this size, in pixels."""
        share = 1 - min(size) / max(size)
        self.num_images += share > 0
        self.largest_share = max(self.largest_share, share)

    def told(self, root: Path, num_images: int) -> str:
        """Return what was cut as a sentence; empty: nothing was."""
        if not self.num_images:
            return ""
        return (
            f"{self.num_images} of {num_images} images of {root} are not square: fit: crop cut away up to "
            f"{100 * self.largest_share:.0f} % of one; fit: pad or stretch keeps all of them"
        )


def _read_image(path: Path, settings: FolderSettings, cut: _Cut) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            mode = image.mode
            if mode.startswith(("I", "F")):  # Pillow would clip them: nearly every pixel would be white
                raise DataError(f"expected an image of 8 bits a channel, got mode {mode} at {path}; convert it")
            upright = ImageOps.exif_transpose(image)
            if settings.fit == "crop":
                cut.note(upright.size)
            fitted = _fit(_without_alpha(upright, settings, path), settings)
    except DataError:
        raise
    except Exception as error:  # Pillow's readers raise whatever they stumble over, SyntaxError among them
        raise DataError(f"expected a readable image at {path}: {error}") from None
    return np.asarray(fitted, np.uint8).reshape(*fitted.size[::-1], settings.channels)


def _without_alpha(image: Image, settings: FolderSettings, path: Path) -> Image:
    """Return a grey or RGB image, transparent pixels over the background."""
    from PIL import Image as Images

    kind = "L" if settings.channels == 1 else "RGB"
    if not image.has_transparency_data:
        return image.convert(kind)
    whole = image.convert("RGBA")
    alpha = whole.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return whole.convert(kind)
    if settings.background is None:
        raise DataError(
            f"expected images without transparent pixels, got some at {path}; say what is behind them: "
            "background: black or white"
        )
    behind = Images.new("RGBA", whole.size, settings.background)
    return Images.alpha_composite(behind, whole).convert(kind)


def _fit(image: Image, settings: FolderSettings) -> Image:
    from PIL import ImageOps

    size = (settings.image_size, settings.image_size)
    if settings.fit == "stretch":
        return image.resize(size)
    if settings.fit == "pad":
        return ImageOps.pad(image, size, color=settings.background or "black")
    return ImageOps.fit(image, size)


def _some(names: list[str]) -> str:
    rest = len(names) - _NUM_NAMED
    return ", ".join(names[:_NUM_NAMED]) + (f" and {rest} more" if rest > 0 else "")
