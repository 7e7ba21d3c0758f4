"""Sheets: many thumbnails side by side in one picture, which a page cuts them out of. Imports no torch.

Small images are kept to the pixel, as PNG. Larger ones become JPEG of quality 90 without colour subsampling. A JPEG is
made of blocks of 8 x 8, so each thumbnail gets whole blocks, and none shines into its neighbour.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumalib.browsing.collection import Collection
from pumalib.browsing.moved import Moved, as_pictures, differences

LONGEST_SIDE = 64
"""Pixels of a thumbnail's longer side; larger images are made smaller. A choice of ours."""
COLUMNS = 16
"""Thumbnails a line, and lines of a sheet."""
_BLOCK = 8
_LARGEST_EXACT = 1024
"""Numbers of an image that is kept to the pixel, at most: 32 x 32 in grey. A choice of ours."""
_QUALITY = 90


@dataclass(frozen=True)
class Layout:
    """How the thumbnails of images of one shape lie in their sheets.

    Attributes:
        height, width: of a thumbnail, in pixels.
        channels: 1 or 3.
        pitch_height, pitch_width: from one thumbnail to the next.
        is_exact: whether pixels are those of the image.
        is_smaller: whether a thumbnail has fewer pixels than its image.
    """

    height: int
    width: int
    channels: int
    pitch_height: int
    pitch_width: int
    is_exact: bool
    is_smaller: bool

    @property
    def media_type(self) -> str:
        """Of a sheet."""
        return "image/png" if self.is_exact else "image/jpeg"


def layout_of(image_shape: tuple[int, ...]) -> Layout:
    """Return the layout for images of (H, W, C)."""
    height, width, channels = image_shape
    share = min(1.0, LONGEST_SIDE / max(height, width))
    tall, wide = max(1, round(height * share)), max(1, round(width * share))
    is_exact = math.prod(image_shape) <= _LARGEST_EXACT and share == 1
    block = 1 if is_exact else _BLOCK
    return Layout(tall, wide, channels, block * -(-tall // block), block * -(-wide // block), is_exact, share < 1)


def sheets_of(collection: Collection, layout: Layout) -> Iterator[bytes]:
    """Yield the sheets of all rows of a collection, 256 rows each; images are read a sheet at a time."""
    size = COLUMNS * COLUMNS
    for start in range(0, len(collection), size):
        positions = np.arange(start, min(start + size, len(collection)), dtype=np.int64)
        yield encoded_sheet(thumbnails(collection.images(positions), layout), layout)


def moved_sheets(moved: Moved, collection: Collection, layout: Layout) -> Iterator[tuple[bytes, NDArray[np.float32]]]:
    """Yield sheets of 128 perturbed rows, two tiles per row: the perturbed image, and its magnified difference.

    With each sheet come the largest changes of its rows.
    """
    size = COLUMNS * COLUMNS // 2
    for start in range(0, len(moved), size):
        points = moved.points[start : start + size]
        images = collection.images(moved.positions[start : start + size])
        changes, largest = differences(points, images)
        pair = (thumbnails(as_pictures(points), layout), thumbnails(changes, layout, is_averaged=False))
        tiles = np.stack(pair, 1).reshape(-1, layout.height, layout.width, layout.channels)
        yield encoded_sheet(tiles, layout), largest


def thumbnails(images: NDArray[np.uint8], layout: Layout, is_averaged: bool = True) -> NDArray[np.uint8]:
    """Return images [B, H, W, C] as thumbnails [B, h, w, C]; without averaging, of some of their pixels."""
    if not layout.is_smaller:
        return images
    from PIL import Image

    size, how = (layout.width, layout.height), Image.Resampling.BOX if is_averaged else Image.Resampling.NEAREST
    flat = [Image.fromarray(each[..., 0] if layout.channels == 1 else each) for each in images]
    small = [np.asarray(each.resize(size, how)) for each in flat]
    return np.stack(small).reshape(len(images), layout.height, layout.width, layout.channels)


def encoded_sheet(tiles: NDArray[np.uint8], layout: Layout) -> bytes:
    """Return at most 256 thumbnails [B, h, w, C] as one picture, line after line."""
    lines = -(-len(tiles) // COLUMNS)
    below, beside = layout.pitch_height - layout.height, layout.pitch_width - layout.width
    padded = np.pad(tiles, ((0, 0), (0, below), (0, beside), (0, 0)), mode="edge")
    blank = np.zeros((lines * COLUMNS - len(tiles), *padded.shape[1:]), np.uint8)
    grid = np.concatenate([padded, blank]).reshape(lines, COLUMNS, *padded.shape[1:])
    sheet = grid.transpose(0, 2, 1, 3, 4).reshape(lines * layout.pitch_height, COLUMNS * layout.pitch_width, -1)
    return _png(sheet) if layout.is_exact else _jpeg(np.ascontiguousarray(sheet))


def _png(sheet: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet).save(stream, "png")
    return stream.getvalue()


def _jpeg(sheet: NDArray[np.uint8]) -> bytes:
    import simplejpeg

    space = "GRAY" if sheet.shape[-1] == 1 else "RGB"
    return bytes(simplejpeg.encode_jpeg(sheet, _QUALITY, space, "444"))
