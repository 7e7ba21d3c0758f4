"""Sheets: each thumbnail lies where the page cuts it out, small ones to the pixel, none shines into its neighbour."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pumalib.browsing.sheets import encoded_sheet, layout_of, thumbnails


def decoded(sheet: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(sheet)))


@pytest.mark.parametrize(
    ("shape", "size", "pitch", "is_exact"),
    [
        ((8, 8, 1), (8, 8), (8, 8), True),
        ((28, 28, 1), (28, 28), (28, 28), True),
        ((32, 32, 3), (32, 32), (32, 32), False),
        ((30, 20, 3), (30, 20), (32, 24), False),
        ((64, 64, 3), (64, 64), (64, 64), False),
        ((224, 112, 3), (64, 32), (64, 32), False),
        ((1, 500, 1), (1, 64), (8, 64), False),
    ],
)
def test_thumbnails_have_at_most_64_pixels_a_side_and_jpegs_whole_blocks(shape, size, pitch, is_exact) -> None:
    layout = layout_of(shape)
    assert (layout.height, layout.width) == size
    assert (layout.pitch_height, layout.pitch_width) == pitch
    assert layout.is_exact == is_exact


@pytest.mark.parametrize(("shape", "count"), [((8, 8, 1), 40), ((5, 7, 3), 256), ((28, 28, 1), 1)])
def test_small_images_are_kept_to_the_pixel_line_after_line(shape: tuple[int, int, int], count: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)
    layout = layout_of(shape)
    sheet = decoded(encoded_sheet(thumbnails(images, layout), layout)).reshape(-1, 16 * shape[1], shape[2])
    for position, image in enumerate(images):
        line, place = divmod(position, 16)
        found = sheet[line * shape[0] :, place * shape[1] :][: shape[0], : shape[1]]
        np.testing.assert_array_equal(found, image)


def test_a_white_image_does_not_shine_into_black_neighbours() -> None:
    images = np.zeros((40, 30, 20, 3), np.uint8)
    images[[5, 22]] = 255
    layout = layout_of((30, 20, 3))
    sheet = decoded(encoded_sheet(thumbnails(images, layout), layout))
    for position, image in enumerate(images):
        line, place = divmod(position, 16)
        found = sheet[line * 32 :, place * 24 :][:30, :20].astype(int)
        assert np.abs(found - image).max() <= 2


def test_large_images_become_the_means_of_their_blocks() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    small = thumbnails(images, layout_of((128, 128, 3)))
    means = images.reshape(3, 64, 2, 64, 2, 3).mean((2, 4))
    assert np.abs(small - means).max() <= 1  # Pillow rounds along each side
