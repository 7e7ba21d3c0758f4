"""Listing the images of class folders, and what is left out beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath

from pumalib.data.sources.image_places import Place
from pumalib.errors import DataError

_NUM_NAMED = 5
"""How many files a message names."""


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
        return f"{len(self.left_out)} entries of {root} are left out ({counts}): {some_of(list(self.left_out))}"


def listing_of(place: Place, folder: str, root: Path) -> Listing:
    """List the images of a folder of class folders, without reading them.

    Args:
        place: where it is.
        folder: path below it.
        root: what to call the folder in messages.

    Raises:
        DataError: no such folder, no class folder, a class without images, or two classes of one number.
    """
    try:
        names, left_out = class_names_in_folder(place, folder, root)
        files: list[tuple[str, int]] = []
        for label, name in enumerate(names):
            found = sorted(images_below(place, _below(folder, name), name, left_out))
            if not found:
                raise DataError(without_images(root, name))
            files += [(path, label) for path in found]
    except OSError as error:
        raise DataError(f"expected class folders with images in {root}, got: {error.strerror}") from None
    return Listing(names, tuple(files), left_out)


def class_names_in_folder(place: Place, folder: str, root: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the names of class folders in label order, and what is left out beside them.

    Raises:
        DataError: no class folder, or two of one number.
        OSError: no such folder.
    """
    names, left_out = [], {}
    for entry in sorted(place.entries(folder)):
        if entry.name.startswith("."):
            left_out[entry.name] = "hidden"
        elif entry.kind == "folder":
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


def without_images(root: Path, name: str) -> str:
    """Return the message about a class folder without images."""
    return f"expected an image at least in each class folder of {root}, found none in {name}"


def images_below(place: Place, folder: str, inside: str, left_out: dict[str, str]) -> Generator[str]:
    """Yield the paths of images below a folder, as the disk lists them, and note what is left out.

    Args:
        place: where it is.
        folder: path of it.
        inside: how paths begin that are yielded.
        left_out: where to note why a path is none of an image.
    """
    from PIL import Image

    Image.init()
    for entry in place.entries(folder):
        path = f"{inside}/{entry.name}"
        if entry.name.startswith("."):
            left_out[path] = "hidden"
        elif entry.kind == "folder":
            yield from images_below(place, _below(folder, entry.name), path, left_out)
        elif entry.kind != "file":
            left_out[path] = "no regular files"
        elif PurePosixPath(entry.name).suffix.lower() in Image.EXTENSION:
            yield path
        else:
            left_out[path] = "without the ending of an image"


def _below(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def expect_same_classes(roots: Sequence[Path], class_names: Sequence[tuple[str, ...]]) -> None:
    """Refuse folders of other classes than the first has.

    Raises:
        DataError: there are some.
    """
    for root, names in zip(roots, class_names, strict=True):
        if names != class_names[0]:
            raise DataError(
                f"expected the same class folders in {roots[0]} and {root}, got "
                f"{', '.join(class_names[0])} and {', '.join(names)}"
            )


def some_of(names: Sequence[str]) -> str:
    """Return a few names, and how many more there are."""
    rest = len(names) - _NUM_NAMED
    return ", ".join(names[:_NUM_NAMED]) + (f" and {rest} more" if rest > 0 else "")
