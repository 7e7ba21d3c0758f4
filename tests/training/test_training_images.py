from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2.functional import resized_crop

from pumalib.models.inputs import to_model_input
from pumalib.training.images import Batch, SelectedImages, augment, draw_boxes, resize_boxes
from pumalib.training.settings import ResizedCropSettings

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
    batches = [(np.array([9, 1, 9, 5]), torch.tensor([3, 0, 3, 2])), (np.array([4]), torch.tensor([1]))] * 3
    seen = 0
    for batch, (rows, places) in zip(selected.ahead(rows for rows, _ in batches), batches, strict=True):
        np.testing.assert_array_equal(batch.rows, rows)
        gathered = selected.gather(batch, places)
        np.testing.assert_array_equal(gathered, pixels[rows])
        gathered.zero_()
        seen += 1
    assert seen == len(batches)
    np.testing.assert_array_equal(selected.gather(Batch(batches[0][0]), batches[0][1]), pixels[batches[0][0]])


def test_batches_are_read_ahead_of_their_use_and_an_error_comes_at_its_batch() -> None:
    asked: list[int] = []
    is_ahead = Event()

    class Reader:
        def __getitem__(self, rows: np.ndarray) -> np.ndarray:
            asked.append(int(rows[0]))
            if rows[0] == 1:
                is_ahead.set()
            if rows[0] == 4:
                raise ValueError("row 4")
            return np.full((len(rows), 1, 1, 1), rows[0], np.uint8)

    selected = SelectedImages(Reader(), np.arange(6), 1, CPU, 0.0)
    batches = selected.ahead(np.array([number]) for number in range(6))
    first = next(batches)
    assert first.images is not None
    assert first.images.item() == 0
    assert is_ahead.wait(60)  # the one that follows is read before it is asked for
    assert [int(next(batches).rows[0]) for _ in range(3)] == [1, 2, 3]
    assert asked[:4] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="row 4"):
        next(batches)


def test_boxes_are_distributed_as_those_of_torchvision() -> None:
    """The tail of the two-sample Kolmogorov-Smirnov test on height, width, top and left, 4,000 boxes each."""
    shape, crop = (32, 48), ResizedCropSettings(scale=(0.1, 0.9), ratio=(0.5, 2.0))
    ours = draw_boxes((4000, *shape, 3), crop, torch.Generator().manual_seed(0)).numpy()
    torch.manual_seed(1)
    image = torch.zeros(3, *shape)
    theirs = np.array([RandomResizedCrop.get_params(image, [0.1, 0.9], [0.5, 2.0]) for _ in range(4000)])
    for column in range(4):
        assert stats.ks_2samp(ours[:, column], theirs[:, column]).pvalue > 1e-3
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, :2] + ours[:, 2:] <= shape).all()


def test_where_no_box_fits_the_largest_around_the_centre_is_taken() -> None:
    """Nearly the whole of a strip in a ratio near 1 never fits: torchvision takes a square of its height."""
    crop = ResizedCropSettings(scale=(0.99, 1.0), ratio=(0.99, 1.01))
    boxes = draw_boxes((3, 10, 40, 1), crop, torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    theirs = RandomResizedCrop.get_params(torch.zeros(1, 10, 40), [0.99, 1.0], [0.99, 1.01])
    assert boxes.tolist() == [list(theirs)] * 3


def test_boxes_are_resized_as_by_torchvision() -> None:
    images = random_images(5, 12, 9, 3)
    boxes = torch.tensor([[0, 0, 12, 9], [2, 1, 5, 7], [11, 8, 1, 1], [0, 3, 12, 2], [4, 4, 3, 3]])
    resized = resize_boxes(images, boxes)
    assert torch.equal(resized[0], images[0])
    for image, box, ours in zip(images, boxes.tolist(), resized, strict=True):
        theirs = resized_crop(image.permute(2, 0, 1).float(), *box, size=[12, 9], antialias=False)
        assert float((ours.permute(2, 0, 1).float() - theirs).abs().max()) <= 0.5 + 1e-4  # rounded to grey levels


def test_images_are_resident_up_to_the_limit() -> None:
    pixels = random_images(4, 2, 2, 1).numpy()
    rows = np.arange(4)
    assert SelectedImages(pixels, rows, 4, CPU, 16 / 2**30).is_resident
    assert not SelectedImages(pixels, rows, 4, CPU, 15 / 2**30).is_resident
