import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pumalib.data.datasets import divide, prepare_dataset, read_class_names, read_split
from pumalib.data.settings import FolderSettings
from pumalib.data.sources.folder import load
from pumalib.errors import DataError


def folder(root: Path, **changes: Any) -> FolderSettings:
    return FolderSettings.model_validate(
        {"source": "folder", "path": str(root), "image_size": 4, "channels": 3, **changes}
    )


def save(path: Path, value: int | tuple[int, int, int], size: tuple[int, int] = (4, 4), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(path)


def test_train_and_test_folders_become_the_official_split(tmp_path: Path) -> None:
    for index in range(3):
        save(tmp_path / f"train/cat/{index}.png", (index, 10, 20))
        save(tmp_path / f"train/ant/{index}.png", (100 + index, 30, 40))
    save(tmp_path / "test/ant/x.png", (7, 8, 9))
    save(tmp_path / "test/cat/y.png", (1, 2, 3))
    prepare_dataset(folder(tmp_path), 0, tmp_path, tmp_path / "out.h5")
    train, test = read_split(tmp_path / "out.h5", "train"), read_split(tmp_path / "out.h5", "test")
    assert read_class_names(tmp_path / "out.h5") == ("ant", "cat")
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert train.images[:, 0, 0].tolist() == [
        [100, 30, 40],
        [101, 30, 40],
        [102, 30, 40],
        [0, 10, 20],
        [1, 10, 20],
        [2, 10, 20],
    ]
    assert test.images[:, 3, 3].tolist() == [[7, 8, 9], [1, 2, 3]]


def test_one_folder_of_classes_is_divided_by_seed(tmp_path: Path) -> None:
    for index in range(10):
        save(tmp_path / f"a/{index}.png", (index, 0, 0))
        save(tmp_path / f"b/{index}.png", (100 + index, 0, 0))
    settings = folder(tmp_path, split="seeded", test_fraction=0.3)
    splits = divide(load(settings, tmp_path), settings, 0)
    assert np.bincount(splits["test"].labels).tolist() == [3, 3]
    reds = [int(image[0, 0, 0]) for split in splits.values() for image in split.images]
    assert sorted(reds) == [*range(10), *range(100, 110)]


def test_shorter_side_is_fitted_and_the_centre_cut_out(tmp_path: Path) -> None:
    wide = np.zeros((8, 40, 3), np.uint8)
    wide[:, 12:28] = 255  # the centre square and, for the filter, a little more
    (tmp_path / "train/a").mkdir(parents=True)
    Image.fromarray(wide).save(tmp_path / "train/a/wide.png")
    save(tmp_path / "test/a/x.png", (0, 0, 0))
    images = load(folder(tmp_path), tmp_path).train.images
    assert images.shape == (1, 4, 4, 3)
    assert (images == 255).all()


@pytest.mark.parametrize(("mode", "value", "channels", "expected"), [
    ("L", 77, 3, [77, 77, 77]),
    ("L", 77, 1, [77]),
    ("RGBA", (1, 2, 3, 255), 3, [1, 2, 3]),
    ("1", 1, 1, [255]),
    ("RGB", (90, 90, 90), 1, [90]),
])  # fmt: skip
def test_modes_of_8_bits_become_the_channels_asked_for(
    tmp_path: Path, mode: str, value: Any, channels: int, expected: list[int]
) -> None:
    for split in ("train", "test"):
        save(tmp_path / split / "a/x.png", value, mode=mode)
    assert load(folder(tmp_path, channels=channels), tmp_path).train.images[0, 0, 0].tolist() == expected


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_16_bits_are_refused_because_they_would_turn_white(tmp_path: Path, channels: int) -> None:
    save(tmp_path / "test/a/x.png", 0)
    (tmp_path / "train/a").mkdir(parents=True)
    Image.fromarray(np.full((4, 4), 30_000, np.uint16)).save(tmp_path / "train/a/deep.png")
    with pytest.raises(
        DataError, match=r"expected an image of 8 bits a channel, got mode I;16 at .*deep\.png; convert it"
    ):
        load(folder(tmp_path, channels=channels), tmp_path)


def test_missing_folders_and_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected class folders with images in .*train"):
        load(folder(tmp_path), tmp_path)
    save(tmp_path / "train/a/x.png", 0)
    with pytest.raises(DataError, match=r"expected class folders with images in .*test"):
        load(folder(tmp_path), tmp_path)
    save(tmp_path / "test/b/x.png", 0)
    with pytest.raises(DataError, match=r"expected the same class folders in .*train and .*test, got a and b"):
        load(folder(tmp_path), tmp_path)
    (tmp_path / "train/b").mkdir()
    with pytest.raises(DataError, match=r"an image at least in each class folder of .*train, found none in b"):
        load(folder(tmp_path), tmp_path)


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(buffer, "png")
    return buffer.getvalue()


PNG = png()


@pytest.mark.parametrize("content", [b"", b"no image", PNG[:20], PNG[:-40]])
def test_broken_png_is_refused_by_its_path(tmp_path: Path, content: bytes) -> None:
    save(tmp_path / "train/a/good.png", 0)
    save(tmp_path / "test/a/good.png", 0)
    (tmp_path / "train/a/broken.png").write_bytes(content)
    with pytest.raises(DataError, match=r"expected a readable image at .*broken\.png"):
        load(folder(tmp_path), tmp_path)


@settings(deadline=None, max_examples=150)
@given(place=st.integers(0, len(PNG) - 1), byte=st.integers(0, 255), end=st.integers(0, len(PNG)))
def test_damaged_png_is_read_or_refused_but_never_crashes(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, end: int
) -> None:
    root = tmp_path_factory.getbasetemp() / "damaged"
    damaged = bytearray(PNG)
    damaged[place] = byte
    for split in ("train", "test"):
        (root / split / "a").mkdir(parents=True, exist_ok=True)
        (root / split / "a/x.png").write_bytes(damaged if byte % 2 else damaged[: max(end, 1)])
    with suppress(DataError):
        assert load(folder(root), root).train.images.shape == (1, 4, 4, 3)
