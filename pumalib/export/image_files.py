"""Images as files: their own bytes where a pool keeps those, else PNG. Imports no torch."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from pumalib.data.decoding import format_of
from pumalib.data.encoded_images import EncodedImages, in_threads
from pumalib.data.image_readers import BLOCK_BYTES, Images, JoinedImages, read_rows

_ENDINGS = {"jpeg": ".jpg", "png": ".png", "webp": ".webp", None: ""}
_LONGEST = 120
"""Characters of a name: with four bytes each, and a row number, file systems still take it."""


def blocks_of(sizes: NDArray[np.int64], block_bytes: int = BLOCK_BYTES) -> Iterator[slice]:
    """Yield rows in blocks that fit in memory; a row that is larger than a block is one of its own.

    Args:
        sizes: [N] bytes of each row.
        block_bytes: of a block.
    """
    ends, start = np.cumsum(sizes), 0
    while start < len(sizes):
        read = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, read + block_bytes, side="right")))
        yield slice(start, stop)
        start = stop


def file_sizes(images: JoinedImages, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the bytes in memory of some rows [B]: of their files where a pool keeps those, else of their pixels."""
    sizes = np.full(len(rows), math.prod(images.image_shape), np.int64)
    for part, inside, own in _by_part(images, rows):
        if isinstance(part, EncodedImages):
            sizes[inside] = part.files.lengths(part.numbers[own])
    return sizes


def read_files(images: JoinedImages, rows: NDArray[np.int64]) -> list[bytes]:
    """Return the bytes of an image file for each of some rows [B]."""
    contents = [b""] * len(rows)
    for part, inside, own in _by_part(images, rows):
        for place, content in zip(inside.tolist(), _contents(part, own), strict=True):
            contents[place] = content
    return contents


def _by_part(
    images: JoinedImages, rows: NDArray[np.int64]
) -> Iterator[tuple[Images, NDArray[np.int64], NDArray[np.int64]]]:
    """Yield each part of a pool with the places in `rows` of those that lie there, and their own numbers."""
    first = 0
    for part in images.parts:
        inside = np.flatnonzero((rows >= first) & (rows < first + len(part)))
        yield part, inside, rows[inside] - first
        first += len(part)


def _contents(images: Images, rows: NDArray[np.int64]) -> list[bytes]:
    if isinstance(images, EncodedImages):
        numbers = images.numbers[rows]
        images.files.ask_for(numbers)
        return [bytes(images.files.read(number)) for number in numbers.tolist()]
    pixels, contents = read_rows(images, rows), [b""] * len(rows)

    def put(place: int) -> None:
        contents[place] = png_of(pixels[place])

    in_threads(put, len(rows))
    return contents


def png_of(image: NDArray[np.uint8]) -> bytes:
    """Return an image [H, W, C], grey or RGB, as a PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "PNG")
    return buffer.getvalue()


def file_name(row: int, content: bytes, original: str) -> str:
    """Return a safe name for the file of a row: that of the original without its folders, else `row-<number>`.

    The ending is the original's where the bytes are, and that of the format otherwise.
    """
    ending = _ENDINGS[format_of(content)]
    name = PurePosixPath(original).name
    if not name:
        return f"row-{row}{ending}"
    stem, own = PurePosixPath(name).stem, PurePosixPath(name).suffix
    return f"{safe_name(stem)}{own if own.lower() in _same(ending) else ending}"


def _same(ending: str) -> tuple[str, ...]:
    return (".jpg", ".jpeg", ".jpe", ".jfif") if ending == ".jpg" else (ending,)


def safe_name(text: str) -> str:
    """Return a name of letters, digits, `_`, `-` and `.` that every system takes, and no shell takes for an option."""
    return re.sub(r"[^\w.-]+", "_", text)[:_LONGEST].lstrip(".-").rstrip(".") or "_"


def class_folders(names: tuple[str, ...], taken: tuple[str, ...]) -> list[str]:
    """Return a safe name for the folder of each class, no two alike on systems that ignore case.

    Args:
        names: of the classes.
        taken: by files beside the folders.
    """
    folders: list[str] = []
    known = {name.casefold() for name in taken}
    for label, name in enumerate(names):
        folder = safe_name(name)
        while folder.casefold() in known:
            folder = f"{folder}-{label}"
        known.add(folder.casefold())
        folders.append(folder)
    return folders
