import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from sklearn.datasets import load_digits

from pumalib.data.datasets import (
    SPLITS,
    divide,
    has_split,
    prepare_dataset,
    read_class_names,
    read_split,
    split_fingerprint,
)
from pumalib.data.images import LabelledImages
from pumalib.data.settings import DigitsSettings, NpzDatasetSettings, TorchvisionSettings
from pumalib.data.sources.raw import RawDataset
from pumalib.data.sources.torchvision_datasets import _convert
from pumalib.errors import ArtifactError, ConfigError, DataError
from pumalib.files.artifacts import open_artifact
from pumalib.files.origin import Maker


def digits(**changes: Any) -> DigitsSettings:
    values = {"source": "digits", "split": "seeded", "test_fraction": 0.33, "validation_fraction": 0.1, **changes}
    return DigitsSettings.model_validate(values)


def numbered(count: int, num_classes: int = 4) -> LabelledImages:
    """Return images whose pixels spell their row, so that rows can be followed through a division."""
    rows = np.arange(count)
    images = np.stack([rows // 256, rows % 256], axis=1).astype(np.uint8).reshape(count, 1, 2, 1)
    return LabelledImages(images, rows % num_classes)


def rows_of(split: LabelledImages) -> np.ndarray:
    return split.images[:, 0, 0, 0].astype(int) * 256 + split.images[:, 0, 1, 0]


def official(**changes: Any) -> NpzDatasetSettings:
    return NpzDatasetSettings.model_validate({"source": "npz", "train": "a", "test": "b", **changes})


def test_digits_are_scaled_from_17_levels_to_256(tmp_path: Path) -> None:
    prepare_dataset(digits(validation_fraction=0), 0, tmp_path, tmp_path / "digits.h5")
    splits = [read_split(tmp_path / "digits.h5", name) for name in ("train", "test")]
    levels = np.unique(np.concatenate([split.images.ravel() for split in splits]))
    assert levels.tolist() == [round(255 * level / 16) for level in range(17)]
    reference = load_digits()
    theirs = sorted(
        (int(t), tuple(np.rint(i.ravel() * 255 / 16).astype(int)))
        for i, t in zip(reference.images, reference.target, strict=True)
    )
    ours = sorted(
        (int(label), tuple(image.ravel().astype(int)))
        for split in splits
        for image, label in zip(split.images, split.labels, strict=True)
    )
    assert ours == theirs


def test_digits_file_holds_splits_of_exact_size_in_the_one_form(tmp_path: Path) -> None:
    prepare_dataset(digits(held_out_fraction=0.25), 3, tmp_path, tmp_path / "digits.h5")
    # 1,797 rows; 33 % of them are 593 test rows, 10 % and 25 % of the other 1,204 are 120 and 301
    sizes = {name: len(read_split(tmp_path / "digits.h5", name)) for name in SPLITS}
    assert sizes == {"train": 783, "validation": 120, "test": 593, "held_out": 301}
    with h5py.File(tmp_path / "digits.h5") as file:
        for name in SPLITS:
            assert (file[name]["images"].dtype, file[name]["labels"].dtype) == (np.uint8, np.int64)
            assert file[name]["images"].shape[1:] == (8, 8, 1)
            assert file[name]["images"].chunks is None
    assert read_class_names(tmp_path / "digits.h5") == tuple("0123456789")


def test_same_seed_gives_the_same_bytes_and_another_seed_other_rows(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        prepare_dataset(digits(), seed, tmp_path, tmp_path / name / "digits.h5", maker=Maker({"x": "y"}))
    first, again, other = (tmp_path / name / "digits.h5" for name in "abc")
    assert first.read_bytes() == again.read_bytes()
    assert split_fingerprint(first, "test") != split_fingerprint(other, "test")


@pytest.mark.parametrize("seed", [0, 1])
def test_seeded_splits_are_disjoint_and_complete(seed: int) -> None:
    raw = RawDataset(numbered(300), None, tuple("abcd"))
    settings = official(split="seeded", test_fraction=0.2, validation_fraction=0.1, held_out_fraction=0.3)
    splits = divide(raw, settings, seed)
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 144, "validation": 24, "test": 60, "held_out": 72,
    }  # fmt: skip
    everything = np.concatenate([rows_of(split) for split in splits.values()])
    assert sorted(everything.tolist()) == list(range(300))
    for split in splits.values():
        assert (np.bincount(split.labels) == len(split) / 4).all()
        assert np.array_equal(split.labels, rows_of(split) % 4)


def test_seeded_split_of_a_source_with_a_test_split_divides_both_together() -> None:
    test = numbered(340).take(np.arange(300, 340))
    raw = RawDataset(numbered(300), test, tuple("abcd"))
    splits = divide(raw, official(split="seeded", test_fraction=0.5), 0)
    everything = np.concatenate([rows_of(split) for split in splits.values()])
    assert sorted(everything.tolist()) == list(range(340))
    assert len(splits["test"]) == 170


def test_official_test_split_is_left_as_it_is() -> None:
    raw = RawDataset(numbered(300), numbered(40), tuple("abcd"))
    splits = divide(raw, official(validation_fraction=0.1), 5)
    assert np.array_equal(rows_of(splits["test"]), np.arange(40))
    assert sorted([*rows_of(splits["train"]), *rows_of(splits["validation"])]) == list(range(300))


def test_limits_are_exact_stratified_and_leave_the_other_splits_alone() -> None:
    raw = RawDataset(numbered(300), numbered(40), tuple("abcd"))
    whole = divide(raw, official(validation_fraction=0.1, held_out_fraction=0.2), 0)
    few = divide(raw, official(validation_fraction=0.1, held_out_fraction=0.2, train_count=40, test_count=8), 0)
    assert np.bincount(few["train"].labels).tolist() == [10] * 4
    assert np.bincount(few["test"].labels).tolist() == [2] * 4
    assert set(rows_of(few["train"])) <= set(rows_of(whole["train"]))
    for name in ("validation", "held_out"):
        assert np.array_equal(few[name].images, whole[name].images)


def test_seed_of_the_division_decides_validation_rows() -> None:
    raw = RawDataset(numbered(300), numbered(40), tuple("abcd"))
    first, again, other = (divide(raw, official(validation_fraction=0.1), seed)["validation"] for seed in (0, 0, 1))
    assert np.array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)


def test_seeds_with_disjoint_train_rows_share_everything_else() -> None:
    raw = RawDataset(numbered(300), numbered(40), tuple("abcd"))
    settings = official(validation_fraction=0.1, held_out_fraction=0.2, train_count=50, train_rows="disjoint")
    seeds = [divide(raw, settings, seed) for seed in range(4)]
    rows = np.concatenate([rows_of(each["train"]) for each in seeds])
    assert len(set(rows.tolist())) == len(rows) == 200
    for each in seeds:
        counts = np.bincount(each["train"].labels)
        assert (counts.sum(), counts.min(), counts.max()) == (50, 12, 13)
        for name in ("validation", "held_out", "test"):
            assert np.array_equal(each[name].images, seeds[0][name].images)
    with pytest.raises(DataError, match=r"for each of 5 disjoint draws of 50, got 5[0-9] in all"):
        divide(raw, settings, 4)


@pytest.mark.parametrize("changes", [{"train_count": None}, {"split": "seeded", "test_fraction": 0.2}])
def test_disjoint_train_rows_need_an_official_split_and_a_count(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected train_rows: disjoint only with split: official and a train_count"):
        official(**{"train_count": 40, "train_rows": "disjoint", **changes})


def raw_with(**changes: Any) -> RawDataset:
    return RawDataset(**{"train": numbered(40), "test": numbered(8), "class_names": tuple("abcd"), **changes})


@pytest.mark.parametrize(
    ("raw", "settings", "message"),
    [
        (raw_with(test=None), official(), "expected a test split in npz; use split: seeded with a test_fraction"),
        (raw_with(), official(train_count=41), "expected train_count of at most 40, the rows there are, got 41"),
        (raw_with(), official(test_count=9), "expected test_count of at most 8, the rows there are, got 9"),
        (raw_with(), official(train_count=2), "expected at least one row of every class, got none of .* train split"),
        (raw_with(test=numbered(2)), official(), "got none of c, d in the test split of npz"),
        (raw_with(class_names=tuple("abc")), official(), r"labels in \[0, 3\), got 0..3 in the train rows of npz"),
        (raw_with(test=numbered(8, 5)), official(), r"labels in \[0, 4\), got 0..4 in the test rows of npz"),
        (raw_with(), official(validation_fraction=0.001), "expected at least one validation row, got none of 40 with"),
        (raw_with(), official(held_out_fraction=0.001), "expected at least one held_out row, got none of 40 with"),
        (
            raw_with(test=LabelledImages(np.zeros((8, 2, 2, 1), np.uint8), np.arange(8) % 4)),
            official(),
            r"expected test images of shape \(1, 2, 1\), got \(2, 2, 1\) in npz",
        ),
        (
            raw_with(train=LabelledImages(np.zeros((8, 2, 2, 1), np.float32), np.arange(8))),
            official(),
            "expected images as uint8 .* got float32",
        ),
    ],
)
def test_dataset_that_cannot_be_divided_is_refused(raw: RawDataset, settings: NpzDatasetSettings, message: str) -> None:
    with pytest.raises(DataError, match=message):
        divide(raw, settings, 0)


def test_digits_have_no_official_split() -> None:
    with pytest.raises(ConfigError, match="expected split: seeded for digits"):
        DigitsSettings(source="digits")


def test_split_that_a_file_does_not_have_is_refused(tmp_path: Path) -> None:
    prepare_dataset(digits(validation_fraction=0), 0, tmp_path, tmp_path / "digits.h5")
    assert has_split(tmp_path / "digits.h5", "train")
    assert not has_split(tmp_path / "digits.h5", "validation")
    with pytest.raises(
        ArtifactError, match=r"expected a validation split in .* which has train, test; set validation_"
    ):
        read_split(tmp_path / "digits.h5", "validation")


def test_failed_preparation_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        prepare_dataset(digits(train_count=5), 0, tmp_path, tmp_path / "out" / "digits.h5")
    assert not (tmp_path / "out").exists()


class StandIn:
    """A dataset with the attributes that torchvision documents."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


def test_svhn_channels_move_last() -> None:
    data = np.arange(2 * 3 * 32 * 32).reshape(2, 3, 32, 32).astype(np.uint8)
    converted = _convert(StandIn(data=data, labels=np.array([9, 0], np.int64)))
    assert converted.images.shape == (2, 32, 32, 3)
    assert converted.images[1, 5, 7, 2] == data[1, 2, 5, 7]
    assert converted.images.flags.c_contiguous
    assert converted.labels.tolist() == [9, 0]


def test_cifar_keeps_its_layout_and_lists_of_targets_become_int64() -> None:
    data = np.arange(2 * 32 * 32 * 3).reshape(2, 32, 32, 3).astype(np.uint8)
    converted = _convert(StandIn(data=data, targets=[3, 99]))
    assert np.array_equal(converted.images, data)
    assert (converted.labels.tolist(), converted.labels.dtype) == ([3, 99], np.int64)


def test_grey_tensors_of_mnist_get_a_channel() -> None:
    import torch

    data = torch.arange(2 * 28 * 28).reshape(2, 28, 28).to(torch.uint8)
    converted = _convert(StandIn(data=data, targets=torch.tensor([1, 2])))
    assert converted.images.shape == (2, 28, 28, 1)
    assert np.array_equal(converted.images[..., 0], data.numpy())
    assert converted.labels.dtype == np.int64


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "folder", "first_labels", "means"),
    # First labels and mean pixels (of 255) as published with the data sets.
    [
        ("mnist", "MNIST", [5, 0, 4, 1, 9], 0.1307),
        ("fashion_mnist", "FashionMNIST", [9, 0, 0, 3, 0], 0.2860),
    ],
)
def test_original_files_become_the_published_images(
    tmp_path: Path, source: str, folder: str, first_labels: list[int], means: float
) -> None:
    data = os.environ.get("PUMA_TEST_DATA")
    if data is None or not (Path(data) / folder).is_dir():
        pytest.skip(f"expected the original files in {folder}/raw under $PUMA_TEST_DATA")
    shutil.copytree(Path(data) / folder, tmp_path / folder, copy_function=shutil.copyfile)  # torchvision unpacks there
    os.chmod(tmp_path / folder, 0o755)
    os.chmod(tmp_path / folder / "raw", 0o755)
    settings = TorchvisionSettings.model_validate({"source": source, "test_count": 100})
    prepare_dataset(settings, 0, tmp_path, tmp_path / "out.h5")
    train = read_split(tmp_path / "out.h5", "train")
    assert train.images.shape == (60_000, 28, 28, 1)
    assert train.labels[:5].tolist() == first_labels
    assert train.images.mean() / 255 == pytest.approx(means, abs=1e-4)
    assert np.bincount(read_split(tmp_path / "out.h5", "test").labels).sum() == 100
    with open_artifact(tmp_path / "out.h5", "dataset") as file:
        assert len(file.attrs["class_names"]) == 10


def test_files_that_are_not_there_and_cannot_be_downloaded_are_refused(tmp_path: Path) -> None:
    (tmp_path / "MNIST").write_text("a file where torchvision makes a folder", encoding="utf-8")
    with pytest.raises(
        DataError, match=r"expected the files of mnist in .*; put the original files there or set data_dir"
    ):
        prepare_dataset(TorchvisionSettings(source="mnist"), 0, tmp_path, tmp_path / "out.h5")
