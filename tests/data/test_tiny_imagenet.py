"""Tiny-ImageNet in its own layout, a few classes of it."""

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pumalib.data.settings import TinyImagenetSettings
from pumalib.data.sources.image_files import count_images
from pumalib.data.sources.tiny_imagenet import class_counts, load, look
from pumalib.errors import ConfigError, DataError
from tests.photographs import jpeg, put

CLASSES = ("n03", "n01", "n02")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny-imagenet-200"
    put(folder, "wnids.txt", "\n".join(CLASSES).encode())
    for label, name in enumerate(CLASSES):
        for number in range(3):
            put(folder, f"train/{name}/images/{name}_{number}.JPEG", jpeg(10 * label + number, 64, 64))
        put(folder, f"train/{name}/{name}_boxes.txt", b"boxes")
    lines = [f"val_{number}.JPEG\t{CLASSES[number % 3]}\t0\t0\t62\t62" for number in range(6)]
    put(folder, "val/val_annotations.txt", "\n".join(lines).encode())
    for number in range(6):
        put(folder, f"val/images/val_{number}.JPEG", jpeg(100 + number, 64, 64))
    put(folder, "test/images/test_0.JPEG", jpeg(500, 64, 64))
    return folder


def settings_of(path: Path, **changes: Any) -> TinyImagenetSettings:
    return TinyImagenetSettings(path=str(path), **changes)


@pytest.mark.parametrize("is_packed", [False, True])
def test_classes_are_in_the_order_of_their_list_and_validation_images_are_the_test_split(
    root: Path, tmp_path: Path, is_packed: bool
) -> None:
    path = root
    if is_packed:
        path = tmp_path / "tiny.tar"
        with tarfile.open(path, "w") as tar:
            tar.add(root, root.name)
    raw = load(settings_of(path), tmp_path)
    assert raw.class_names == CLASSES
    assert raw.train.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    assert raw.test is not None
    assert raw.test.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert raw.test.files is not None
    assert raw.test.files[4] == "val/images/val_4.JPEG"
    assert raw.train.images.shape == (9, 64, 64, 3)
    assert np.unique(raw.test.images[:].reshape(6, -1), axis=0).shape[0] == 6
    assert look(settings_of(path), "here") == ((64, 64, 3), 3, None, CLASSES)
    assert class_counts(settings_of(path)) == (dict.fromkeys(CLASSES, 3), dict.fromkeys(CLASSES, 2))
    assert count_images(settings_of(path)) == (9, 6)


def test_what_is_missing_is_named_before_any_job(root: Path) -> None:
    with pytest.raises(ConfigError, match="expected the folder or a tar file of Tiny-ImageNet, found none at nowhere"):
        look(settings_of(Path("nowhere")), "datasets.tiny")
    put(root, "val/val_annotations.txt", b"val_0.JPEG\tn99\t0\t0\t1\t1")
    with pytest.raises(ConfigError, match=r"got 'val_0.JPEG\\tn99.*at line 1 of .*val_annotations.txt, named at here"):
        look(settings_of(root), "here")
    (root / "val/val_annotations.txt").unlink()
    with pytest.raises(ConfigError, match=r"expected the file val/val_annotations\.txt of Tiny-ImageNet"):
        look(settings_of(root), "here")


def test_a_class_or_an_image_that_is_not_there_is_named(root: Path, tmp_path: Path) -> None:
    (root / "val/images/val_3.JPEG").unlink()
    with pytest.raises(DataError, match=r"expected to read .*val/images/val_3\.JPEG, got: No such file"):
        load(settings_of(root), tmp_path)
    put(root, "wnids.txt", "\n".join([*CLASSES, "n04"]).encode())
    with pytest.raises(ConfigError, match=r"expected train/<class>/images .*found none of n04, named at here"):
        look(settings_of(root), "here")
    with pytest.raises(DataError, match="found none in n04"):
        load(settings_of(root), tmp_path)
