"""Reading listed image files: each is decoded once, and kept as pixels or as the bytes of its file."""

from __future__ import annotations

import importlib
import logging
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pumalib.data.decoding import UnreadableImageError, View, expect_no_smaller, fit, format_of, upright
from pumalib.data.encoded_images import EncodedImages, in_threads
from pumalib.data.image_readers import Images
from pumalib.data.images import IN_MEMORY_BYTES, LabelledImages, scratch_array
from pumalib.data.settings import FileOptions, ImageFilesSettings, source_module
from pumalib.data.sources.class_folders import some_of
from pumalib.data.sources.image_places import Place, PlacedFiles, SeenFiles
from pumalib.data.sources.raw import ClassCounts
from pumalib.errors import DataError
from pumalib.files.sizes import size_in_words

_BLOCK = 256
_ENCODED_ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ListedFiles:
    """Files of one split.

    Attributes:
        root: what to call their folder.
        paths: of each below the place.
        labels: of each.
        names: by which a row is known.
    """

    root: Path
    paths: list[str]
    labels: list[int]
    names: list[str]


@dataclass(frozen=True)
class ReadFiles:
    """What was read.

    Attributes:
        splits: one for each of the lists, without what was left out.
        skipped: names of files that could not be read.
    """

    splits: list[LabelledImages]
    skipped: tuple[str, ...]


def view_of(settings: ImageFilesSettings) -> View:
    """Return what is made of images."""
    return View(settings.image_size, settings.channels, settings.fit, settings.background, settings.enlarge)


def read_files(
    place: Place,
    root: Path,
    lists: Sequence[ListedFiles],
    settings: FileOptions,
    view: View,
    skip_unreadable: bool = False,
) -> ReadFiles:
    """Read files of several splits.

    Args:
        place: where they are.
        root: what to call it in messages.
        lists: one a split.
        settings: how they are read and kept.
        view: what is made of them.
        skip_unreadable: whether images that cannot be read are left out.

    Raises:
        DataError: an unreadable image, unless those are to be skipped; a transparent one without a background; one that
            would have to be enlarged; one of a format that is not kept as it is.
    """
    files = PlacedFiles(place, root, [path for each in lists for path in each.paths])
    look = _Look(files, settings, view, skip_unreadable)
    look.at_all()
    images, starts = look.images(), np.cumsum([0, *(len(each.paths) for each in lists)])
    whole = LabelledImages(
        images,
        np.array([label for each in lists for label in each.labels], np.int64),
        np.array([name for each in lists for name in each.names], object),
    )
    splits = []
    for each, start, end in zip(lists, starts[:-1], starts[1:], strict=True):
        rows = start + np.flatnonzero(~look.is_bad[start:end])
        told = _told_of_cuts(each.root, look.seen.sizes[rows]) if settings.fit == "crop" else ""
        if told:
            log.warning("%s", told)
        is_all = len(rows) == len(whole)
        splits.append(whole if is_all else whole.take(rows))
    skipped = [str(whole.files[row]) for row in np.flatnonzero(look.is_bad)] if whole.files is not None else []
    if skipped:
        log.warning(
            "%d images of %s are left out, because they cannot be read: %s", len(skipped), root, some_of(skipped)
        )
    return ReadFiles(splits, tuple(skipped))


class _Look:
    """One look at every file.

    Attributes:
        seen: what was found.
        is_bad: [N] bool, which cannot be read and are skipped.
    """

    def __init__(self, files: PlacedFiles, settings: FileOptions, view: View, skips: bool) -> None:
        self._files, self._view, self._skips = files, view, skips
        count = len(files.paths)
        lengths = np.array([_length(files, number) for number in range(count)], np.int64)
        self.seen = SeenFiles(lengths, np.zeros(count, np.uint32), np.zeros((count, 2), np.int32))
        self.is_bad = np.zeros(count, bool)
        shape = (count, *self._view.image_shape)
        self._is_encoded = _is_encoded(settings, files.paths, int(lengths.sum()), int(np.prod(shape)))
        self._pixels = None if self._is_encoded else scratch_array(shape, np.dtype(np.uint8))

    def at_all(self) -> None:
        """Decode every file once."""
        count = len(self._files.paths)
        with tqdm(total=count, desc=f"reading {self._files.root}", unit="image", disable=None) as bar:
            for start in range(0, count, _BLOCK):
                size = min(_BLOCK, count - start)
                self._files.ask_for(np.arange(start, start + size))
                in_threads(lambda place, start=start: self._at(start + place), size)  # type: ignore[misc]
                bar.update(size)

    def _at(self, number: int) -> None:
        name = self._files.name(number)
        try:
            content = self._files.read(number)
            self.seen.lengths[number], self.seen.checksums[number] = len(content), zlib.crc32(content)
            image = upright(content, self._view, name)
        except UnreadableImageError as error:
            if not self._skips:
                raise
            log.debug("%s", error)
            self.is_bad[number] = True
            return
        self.seen.sizes[number] = image.shape[:2]
        if self._pixels is not None:
            self._pixels[number] = fit(image, self._view, name)
            return
        if format_of(content) is None:
            raise DataError(
                f"expected JPEG, PNG or WebP, which storage: encoded keeps, got another format at {name}; "
                "convert it, or set storage: decoded"
            )
        if not self._view.enlarge:
            expect_no_smaller((image.shape[0], image.shape[1]), self._view, name)

    def images(self) -> Images:
        """Return all images."""
        if self._pixels is not None:
            return self._pixels
        return EncodedImages(replace(self._files, seen=self.seen), np.arange(len(self._files.paths)), self._view)


def _length(files: PlacedFiles, number: int) -> int:
    try:
        return files.place.length(files.paths[number])
    except OSError as error:
        raise DataError(f"expected to read {files.name(number)}, got: {error.strerror}") from None


def _is_encoded(settings: FileOptions, paths: list[str], file_bytes: int, pixel_bytes: int) -> bool:
    """Return whether files are kept as they are: as asked for; else where pixels are many and take more room."""
    if settings.storage is not None:
        return settings.storage == "encoded"
    are_kept = all(Path(path).suffix.lower() in _ENCODED_ENDINGS for path in paths)
    is_encoded = are_kept and pixel_bytes > IN_MEMORY_BYTES and file_bytes < pixel_bytes
    if pixel_bytes > IN_MEMORY_BYTES:
        what = "encoded: the bytes of the files" if is_encoded else "decoded: pixels"
        log.warning(
            "images are stored %s (files of %s, pixels of %s; `storage` chooses)",
            what,
            size_in_words(file_bytes),
            size_in_words(pixel_bytes),
        )
    return is_encoded


def _told_of_cuts(root: Path, sizes: NDArray[np.int32]) -> str:
    """Say in a sentence what a centre crop cuts away of images of these sizes; "": nothing."""
    shares = 1 - sizes.min(1) / np.maximum(sizes.max(1), 1)  # [N]
    if not shares.any():
        return ""
    return (
        f"{int((shares > 0).sum())} of {len(sizes)} images of {root} are not square: fit: crop cut away up to "
        f"{100 * float(shares.max()):.0f} % of one; fit: pad or stretch keeps all of them"
    )


def count_images(settings: ImageFilesSettings) -> tuple[int, int]:
    """List the train and the test images, and count them; 0 test images where their split is seeded.

    Raises:
        DataError: as the source's `load`, where the list tells.
    """
    module = importlib.import_module(source_module(settings.model_dump(include={"source"})["source"]))
    counts: ClassCounts = module.class_counts(settings)
    return sum(counts.train.values()), sum(counts.test.values())
