"""Decoding images of any size and format into one shape, as a viewer shows them: turned as their EXIF says, 8 bits.

JPEG is decoded by libjpeg-turbo (through simplejpeg), all else by Pillow, whose JPEG pixels are the same bit by bit.
Resizing is Pillow's, in whole numbers, so that pixels are the same on every processor. Imports no torch.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

_JPEG, _PNG, _RIFF, _WEBP = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"WEBP"
_HARMLESS = "extraneous bytes before marker"
"""What libjpeg warns of in files that may lack nothing."""


@dataclass(frozen=True)
class View:
    """How images of any size become [image_size, image_size, channels].

    Attributes:
        image_size: height and width, in pixels.
        channels: 1 for grey, 3 for RGB.
        fit: `crop`: the shorter side fits and the centre is cut out; `pad`: the longer side fits and the rest is
            `background`; `stretch`: both sides fit.
        background: what is behind transparent pixels, and beside padded images; None: transparent images are refused,
            and black is beside others.
        enlarge: whether smaller images may be enlarged.
    """

    image_size: int
    channels: Literal[1, 3]
    fit: Literal["crop", "pad", "stretch"] = "crop"
    background: Literal["black", "white"] | None = None
    enlarge: bool = False

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.image_size, self.image_size, self.channels


class UnreadableImageError(DataError):
    """A file that is no image, or a truncated or damaged one."""


def format_of(content: bytes | memoryview) -> str | None:
    """Return `jpeg`, `png` or `webp`; None: another format, or no image."""
    head = bytes(content[:16])
    if head.startswith(_JPEG):
        return "jpeg"
    if head.startswith(_PNG):
        return "png"
    return "webp" if head.startswith(_RIFF) and head[8:12] == _WEBP else None


def decode(content: bytes | memoryview, view: View, name: str) -> NDArray[np.uint8]:
    """Decode a file and fit it.

    Args:
        content: of the file.
        view: what to make of it.
        name: of the file, for messages.

    Returns:
        [H, W, C] uint8.

    Raises:
        DataError: no image, a truncated or damaged one, one of more than 8 bits, a transparent one without a
            background, or one that would have to be enlarged.
    """
    return fit(upright(content, view, name), view, name)


def decode_into(target: NDArray[np.uint8], content: bytes | memoryview, view: View, name: str, is_whole: bool) -> None:
    """Do as `decode`, and write the pixels to where they belong: a copy less for an image that needs no fitting.

    Args:
        target: [H, W, C] uint8 of the view, contiguous.
        content: of the file.
        view: what to make of it.
        name: of the file, for messages.
        is_whole: whether the image is as large as the view.

    Raises:
        DataError: as `decode`.
    """
    if is_whole and view.channels == 3 and format_of(content) == "jpeg":
        try:
            if _plain_jpeg(content, target) is not None:
                return
        except ValueError as error:
            raise _unreadable(name, error) from None
    target[...] = decode(content, view, name)


def upright(content: bytes | memoryview, view: View, name: str) -> NDArray[np.uint8]:
    """Decode a file in its own size, turned as its EXIF says.

    Returns:
        [h, w, C] uint8.

    Raises:
        DataError: as `decode`, but for what is about sizes.
    """
    if view.channels == 3 and format_of(content) == "jpeg":
        try:
            found = _plain_jpeg(content)
        except ValueError as error:
            raise _unreadable(name, error) from None
        if found is not None:
            return found
    return _by_pillow(content, view, name)


def fit(image: NDArray[np.uint8], view: View, name: str) -> NDArray[np.uint8]:
    """Bring an image [h, w, C] to the size of a view, by Pillow.

    Raises:
        DataError: it would have to be enlarged.
    """
    height, width = image.shape[:2]
    if (height, width) == (view.image_size, view.image_size):
        return image
    if not view.enlarge:
        expect_no_smaller((height, width), view, name)
    if view.fit == "crop" and min(height, width) == view.image_size and (height - width) % 2 == 0:
        top, left = (height - view.image_size) // 2, (width - view.image_size) // 2
        return image[top : top + view.image_size, left : left + view.image_size]  # what Pillow would give
    return _fitted(image, view)


def expect_no_smaller(size: tuple[int, int], view: View, name: str) -> None:
    """Refuse an image (height, width) of which a side would have to be enlarged.

    Raises:
        DataError: it would.
    """
    side = max(size) if view.fit == "pad" else min(size)
    if side < view.image_size:
        raise DataError(
            f"expected images of at least {view.image_size} pixels, as image_size says, got {size[1]}x{size[0]} at "
            f"{name}; lower image_size, or set enlarge: true"
        )


def _fitted(image: NDArray[np.uint8], view: View) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    size, opened = (view.image_size, view.image_size), Image.fromarray(image[..., 0] if view.channels == 1 else image)
    if view.fit == "stretch":
        found = opened.resize(size)
    elif view.fit == "pad":
        found = ImageOps.pad(opened, size, color=view.background or "black")
    else:
        found = ImageOps.fit(opened, size)
    return np.asarray(found, np.uint8).reshape(view.image_shape)


def _plain_jpeg(content: bytes | memoryview, target: NDArray[np.uint8] | None = None) -> NDArray[np.uint8] | None:
    """Decode a grey or colour JPEG that is not turned, as RGB; None: it is something else, such as CMYK.

    With a target, which must be of its size, the pixels are written there.

    Raises:
        ValueError: it is damaged.
    """
    import simplejpeg

    if not _is_plain(content):
        return None
    try:
        image: NDArray[np.uint8] = simplejpeg.decode_jpeg(content, "RGB", buffer=target)
    except ValueError as error:
        # It tells the first warning alone, and stray bytes may be all that is wrong: Pillow refuses what is cut short.
        # The header is refused where colours are sampled in a way that it does not know.
        if _HARMLESS in str(error) or _OF_HEADER in str(error):
            return None
        raise
    return image


_OF_HEADER = "tjDecompressHeader"
_FILL, _START_OF_SCAN, _END, _APP1 = 0xFF, 0xDA, 0xD9, 0xE1
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD8))
_START_OF_FRAME = tuple(marker for marker in range(0xC0, 0xD0) if marker not in (0xC4, 0xC8, 0xCC))


def _is_plain(content: bytes | memoryview) -> bool:
    """Return whether a JPEG has 8 bits and one or three components, and says nothing of how it is turned.

    That may stand in EXIF or in XMP. One that is not well formed before its first scan is not plain either.
    """
    place, size, is_plain = 2, len(content), False
    # Invariant: a segment begins at `place`. A turn looks at it, and goes to the next one.
    while place + 10 <= size and content[place] == _FILL:
        marker = content[place + 1]
        if marker in (_START_OF_SCAN, _END):
            return is_plain
        if marker == _FILL or marker in _WITHOUT_LENGTH:
            place += 1 if marker == _FILL else 2
            continue
        end = place + 2 + (content[place + 2] << 8 | content[place + 3])
        if marker == _APP1:
            segment = bytes(content[place + 4 : end])
            if segment.startswith(b"Exif") or b"Orientation" in segment:
                return False
        elif marker in _START_OF_FRAME:
            is_plain = content[place + 4] == 8 and content[place + 9] in (1, 3)
        place = end
    return False


def _by_pillow(content: bytes | memoryview, view: View, name: str) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content)) as image:
            mode = image.mode
            # Pillow would clip them, so that nearly every pixel would be white, or drop half of their bits.
            if mode.startswith(("I", "F")) or _is_deep_png(content):
                mode = mode if mode.startswith(("I", "F")) else f"{mode};16"
                raise DataError(f"expected an image of 8 bits a channel, got mode {mode} at {name}; convert it")
            turned = _without_alpha(ImageOps.exif_transpose(image), view, name)
    except DataError:
        raise
    except Exception as error:  # Pillow's readers raise whatever they stumble over, SyntaxError among them
        raise _unreadable(name, error) from None
    return np.asarray(turned, np.uint8).reshape(*turned.size[::-1], view.channels)


def _is_deep_png(content: bytes | memoryview) -> bool:
    """Return whether a PNG has 16 bits a channel, as the first chunk of it says."""
    return format_of(content) == "png" and len(content) > _DEPTH_AT and content[_DEPTH_AT] == 16


_DEPTH_AT = 24


def _unreadable(name: str, error: Exception) -> UnreadableImageError:
    return UnreadableImageError(
        f"expected a readable image at {name}: {error}; repair or remove it, or set skip_unreadable: true in a dataset"
    )


def _without_alpha(image: Image, view: View, name: str) -> Image:
    """Return a grey or RGB image, transparent pixels over the background."""
    from PIL import Image as Images

    kind = "L" if view.channels == 1 else "RGB"
    if not image.has_transparency_data:
        return image.convert(kind)
    whole = image.convert("RGBA")
    alpha = whole.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return whole.convert(kind)
    if view.background is None:
        raise DataError(
            f"expected images without transparent pixels, got some at {name}; say what is behind them: "
            "background: black or white"
        )
    behind = Images.new("RGBA", whole.size, view.background)
    return Images.alpha_composite(behind, whole).convert(kind)
