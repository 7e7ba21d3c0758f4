from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pumalib.models.inputs import to_model_input
from pumalib.training.images import SelectedImages, augment

CPU = torch.device("cpu")


def random_images(count: int, height: int, width: int, channels: int, seed: int = 0) -> torch.Tensor:
    generator = np.random.default_rng(seed)
    return torch.from_numpy(generator.integers(1, 256, (count, height, width, channels), np.uint8))


def crops(image: NDArray[np.uint8], padding: int) -> dict[bytes, tuple[int, int]]:
    """Return every crop of the zero-padded image, by its bytes."""
    height, width, _ = image.shape
    padded = np.zeros((height + 2 * padding, width + 2 * padding, image.shape[2]), np.uint8)
    padded[padding : padding + height, padding : padding + width] = image
    offsets = [(y, x) for y in range(2 * padding + 1) for x in range(2 * padding + 1)]
    return {padded[y : y + height, x : x + width].tobytes(): (y, x) for y, x in offsets}


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 3])),
    padding=st.integers(0, 3),
    flip=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_augmented_image_is_a_crop_of_the_padded_image_or_of_its_mirror_image(
    shape: tuple[int, int, int], padding: int, flip: bool, seed: int
) -> None:
    images = random_images(5, *shape, seed)
    original = images.clone()
    augmented = augment(images, padding, flip, torch.Generator().manual_seed(seed))
    assert torch.equal(images, original)
    assert (augmented.shape, augmented.dtype) == (images.shape, torch.uint8)
    for before, after in zip(images.numpy(), augmented.numpy(), strict=True):
        allowed = set(crops(before, padding))
        if flip:
            allowed |= set(crops(before[:, ::-1], padding))
        assert after.tobytes() in allowed


def test_every_shift_and_both_orientations_occur_about_equally_often() -> None:
    count, padding = 4500, 1
    image = random_images(1, 4, 4, 1)
    augmented = augment(image.expand(count, -1, -1, -1), padding, True, torch.Generator().manual_seed(0)).numpy()
    plain, mirrored = crops(image[0].numpy(), padding), crops(image[0].numpy()[:, ::-1], padding)
    assert not set(plain) & set(mirrored)
    kinds = {**{key: (0, *at) for key, at in plain.items()}, **{key: (1, *at) for key, at in mirrored.items()}}
    found = [kinds[image.tobytes()] for image in augmented]
    counts = np.array([found.count(kind) for kind in kinds.values()])
    assert len(counts) == 18
    assert float(((counts - 250) ** 2 / 250).sum()) < 40.8  # the 0.999 quantile of chi-square, 17 degrees of freedom


def test_nothing_is_augmented_without_padding_and_flips() -> None:
    images = random_images(3, 4, 5, 3)
    assert torch.equal(augment(images, 0, False, torch.Generator()), images)


def test_augmentation_follows_its_generator() -> None:
    images = random_images(20, 6, 6, 1)
    first, again, other = (augment(images, 2, True, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_model_input_is_channels_first_and_scaled_and_a_copy() -> None:
    images = random_images(2, 3, 4, 3)
    original = images.clone()
    pixels = to_model_input(images)
    np.testing.assert_array_equal(pixels, np.moveaxis(original.numpy(), 3, 1).astype(np.float32) / np.float32(255))
    assert pixels.is_contiguous()
    assert torch.equal(images, original)


@pytest.mark.parametrize("is_mapped", [False, True])
@pytest.mark.parametrize("limit", [0.0, 1.0])
def test_gathered_images_are_the_rows_asked_for(is_mapped: bool, limit: float, tmp_path: Path) -> None:
    pixels = random_images(10, 3, 3, 1).numpy()
    if is_mapped:
        np.save(tmp_path / "images.npy", pixels)
        pixels = np.load(tmp_path / "images.npy", mmap_mode="r")
    selected = SelectedImages(pixels, np.array([1, 4, 5, 9]), 9, CPU, limit)
    assert selected.is_resident == (limit > 0)
    rows, places = np.array([9, 1, 9, 5]), torch.tensor([3, 0, 3, 2])
    gathered = selected.gather(rows, places)
    np.testing.assert_array_equal(gathered, pixels[rows])
    gathered.zero_()
    np.testing.assert_array_equal(selected.gather(rows, places), pixels[rows])


def test_images_are_resident_up_to_the_limit() -> None:
    pixels = random_images(4, 2, 2, 1).numpy()
    rows = np.arange(4)
    assert SelectedImages(pixels, rows, 4, CPU, 16 / 2**30).is_resident
    assert not SelectedImages(pixels, rows, 4, CPU, 15 / 2**30).is_resident
