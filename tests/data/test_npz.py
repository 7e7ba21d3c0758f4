import os
import pickle
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumalib.data import images
from pumalib.data.datasets import prepare_dataset, read_class_names, read_split, write_images
from pumalib.data.images import LabelledImages, stratified_rows
from pumalib.data.settings import NpzDatasetSettings
from pumalib.data.sources import npz
from pumalib.data.sources.npz import load, npz_image_shape, read_npz
from pumalib.errors import DataError
from pumalib.randomness import numpy_generator

SAVERS = [np.savez, np.savez_compressed]
Save = Callable[..., None]


def class_sorted(labelled: Callable[..., LabelledImages], count: int = 403) -> LabelledImages:
    images = labelled(0, count)
    return images.take(np.argsort(images.labels, kind="stable"))


@pytest.mark.parametrize("save", SAVERS)
@pytest.mark.parametrize("count", [None, 1, 100, 403])
def test_subset_of_a_class_sorted_file_is_fancy_indexing_of_stratified_rows(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    labelled: Callable[..., LabelledImages],
    save: Save,
    count: int | None,
) -> None:
    monkeypatch.setattr(npz, "_BLOCK_BYTES", 48 * 17)  # blocks of 17 images, so that many are read
    whole = class_sorted(labelled)
    save(tmp_path / "a.npz", image=whole.images, label=whole.labels)
    rows = np.arange(403) if count is None else stratified_rows(whole.labels, count, numpy_generator(5, "npz subset"))
    subset = read_npz(tmp_path / "a.npz", count, seed=5)
    loaded = np.load(tmp_path / "a.npz")
    assert np.array_equal(subset.images, loaded["image"][rows])
    assert np.array_equal(subset.labels, loaded["label"][rows])
    assert subset.labels.dtype == np.int64
    if count == 100:
        assert np.bincount(subset.labels).tolist() == [25, 25, 25, 25]


def test_subset_follows_its_seed(tmp_path: Path, labelled: Callable[..., LabelledImages]) -> None:
    whole = class_sorted(labelled)
    np.savez(tmp_path / "a.npz", image=whole.images, label=whole.labels)
    first, again, other = (read_npz(tmp_path / "a.npz", 50, seed).images for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.dtype(">i8"), np.uint64])
def test_labels_of_any_integer_type_become_int64(tmp_path: Path, dtype: Any) -> None:
    np.savez(tmp_path / "a.npz", image=np.zeros((3, 2, 2, 1), np.uint8), label=np.array([2, 0, 1], dtype))
    labels = read_npz(tmp_path / "a.npz").labels
    assert (labels.tolist(), labels.dtype) == ([2, 0, 1], np.int64)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_npy_header_is_read(tmp_path: Path, version: tuple[int, int]) -> None:
    arrays = {"image": np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1), "label": np.arange(3)}
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w") as stream:
                np.lib.format.write_array(stream, array, version=version)
    assert np.array_equal(read_npz(tmp_path / "a.npz").images, arrays["image"])


@pytest.mark.parametrize("save", SAVERS)
def test_memory_is_that_of_the_subset_and_a_block(tmp_path: Path, save: Save) -> None:
    count, side = 30_000, 32  # 92 MB of images
    save(tmp_path / "a.npz", image=np.zeros((count, side, side, 3), np.uint8), label=np.arange(count) % 10)
    tracemalloc.start()
    try:
        images = read_npz(tmp_path / "a.npz", 100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(images) == 100
    assert peak < 3.5 * npz._BLOCK_BYTES < count * side * side * 3 / 3  # a block, and what zipfile joins it from


def test_large_sets_are_read_and_stored_without_the_memory_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(256, size=(4000, 32, 32, 3), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", image=image, label=np.arange(4000) % 10)
    monkeypatch.setattr(npz, "_BLOCK_BYTES", 1 << 18)
    monkeypatch.setattr(images, "IN_MEMORY_BYTES", image.nbytes - 1)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "scratch").mkdir()
    tracemalloc.start()
    read = read_npz(tmp_path / "set.npz")
    with h5py.File(tmp_path / "set.h5", "w") as file:
        write_images(file, read)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < image.nbytes / 4
    np.testing.assert_array_equal(read.images, image)
    with h5py.File(tmp_path / "set.h5") as file:
        np.testing.assert_array_equal(file["images"][...], image)
    assert not list((tmp_path / "scratch").iterdir())


def test_shape_and_classes_come_from_the_header_and_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=np.zeros((5, 3, 2, 1), np.uint8), label=[0, 4, 1, 0, 2])
    assert npz_image_shape(tmp_path / "a.npz") == ((5, 3, 2, 1), 5)


class Malice:
    """An object whose pickle makes a file when it is loaded."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.victim),)


@pytest.mark.parametrize("key", ["image", "label"])
def test_pickled_arrays_are_refused_and_never_run(tmp_path: Path, key: str) -> None:
    victim = tmp_path / "victim"
    arrays: dict[str, Any] = {"image": np.zeros((3, 2, 2, 1), np.uint8), "label": np.arange(3)}
    arrays[key] = np.array([Malice(victim)] * 3, dtype=object)
    np.savez(tmp_path / "a.npz", allow_pickle=True, **arrays)
    for read in (read_npz, npz_image_shape):
        with pytest.raises(DataError, match=f"expected a plain array as '{key}' in .*, got one that needs pickle"):
            read(tmp_path / "a.npz")
    assert not victim.exists()
    with np.load(tmp_path / "a.npz", allow_pickle=True) as archive:  # the danger is real
        assert archive[key].dtype == object
    assert victim.exists()


def test_bare_pickle_is_refused_and_never_run(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(pickle.dumps(Malice(tmp_path / "victim")))
    with pytest.raises(DataError, match="expected an npz file with image and label"):
        read_npz(tmp_path / "a.npz")
    assert not (tmp_path / "victim").exists()


IMAGES, LABELS = np.zeros((4, 2, 2, 1), np.uint8), np.arange(4)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": IMAGES}, "expected key 'label' in .*, got image"),
        ({"label": LABELS}, "expected key 'image' in .*, got label"),
        ({"images": IMAGES, "label": LABELS}, "expected key 'image' in .*, got images, label"),
        (
            {"image": IMAGES.astype(np.float32), "label": LABELS},
            r"expected images as uint8 .* got float32 \[4, 2, 2, 1\]",
        ),
        ({"image": np.full((4, 2, 2, 1), np.nan), "label": LABELS}, "expected images as uint8 .* got float64"),
        (
            {"image": np.asfortranarray(np.zeros((4, 2, 2, 3), np.uint8)), "label": LABELS},
            "got Fortran order; save np.asc",
        ),
        (
            {"image": np.moveaxis(np.zeros((4, 2, 2, 1), np.uint8), 3, 1), "label": LABELS},
            r"1 or 3 channels, got .*\[4, 1, 2, 2\]",
        ),
        ({"image": np.uint8(3), "label": LABELS}, r"expected images as uint8 .* got uint8 \[\]"),
        ({"image": IMAGES, "label": np.int64(3)}, r"expected labels as integers \[N\], got int64 \[\]"),
        ({"image": IMAGES, "label": LABELS[:3]}, "expected one label for each of 4 images, got 3 labels"),
        ({"image": IMAGES, "label": LABELS - 1}, r"expected labels of at least 0, got -1\.\.2"),
        ({"image": IMAGES, "label": LABELS.astype(float)}, r"expected labels as integers \[N\], got float64"),
        ({"image": IMAGES, "label": np.array(list("abcd"))}, r"expected labels as integers \[N\], got <U1"),
        ({"image": IMAGES[:0], "label": LABELS[:0]}, "expected at least one image, got none"),
    ],
)
def test_file_not_in_the_one_form_is_refused_by_both_readers(
    tmp_path: Path, arrays: dict[str, Any], message: str
) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    for read in (read_npz, npz_image_shape):
        with pytest.raises(DataError, match=message) as error:
            read(tmp_path / "a.npz")
        assert "a.npz" in str(error.value)


def test_count_above_the_rows_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=IMAGES, label=LABELS)
    with pytest.raises(DataError, match=r"expected at least 5 images, got 4 in .*; lower count"):
        read_npz(tmp_path / "a.npz", 5)


def test_missing_file_and_file_that_is_no_zip_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no zip", encoding="utf-8")
    np.save(tmp_path / "bare.npy", IMAGES)
    for name in ("none.npz", "text.npz", "bare.npy"):
        with pytest.raises(DataError, match=f"expected an npz file with image and label, .* at .*{name}"):
            read_npz(tmp_path / name)


def test_bytes_after_the_last_row_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "good.npz", image=IMAGES, label=LABELS)
    with zipfile.ZipFile(tmp_path / "good.npz") as good, zipfile.ZipFile(tmp_path / "a.npz", "w") as bad:
        bad.writestr("label.npy", good.read("label.npy"))
        bad.writestr("image.npy", good.read("image.npy") + b"x")
    with pytest.raises(DataError, match="expected 'image' to end with its last row, got more bytes"):
        read_npz(tmp_path / "a.npz")


@pytest.fixture(scope="module", params=SAVERS)
def whole_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, np.ndarray]:
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    images = np.random.default_rng(0).integers(0, 9, (12, 4, 4, 3), dtype=np.uint8)
    request.param(path, image=images, label=np.arange(12) % 4)
    return path.read_bytes(), images


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_truncated_or_corrupt_file_is_refused_or_read_unharmed(
    whole_file: tuple[bytes, np.ndarray], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content, images = bytearray(whole_file[0]), whole_file[1]
    if data.draw(st.booleans(), "truncate"):
        content = content[: data.draw(st.integers(0, len(content) - 1), "end")]
    else:
        content[data.draw(st.integers(0, len(content) - 1), "place")] ^= data.draw(st.integers(1, 255), "flip")
    path = tmp_path_factory.getbasetemp() / "corrupt.npz"
    path.write_bytes(content)
    try:
        read = read_npz(path)
    except DataError:
        return
    assert np.array_equal(read.images, images)
    assert read.labels.tolist() == [0, 1, 2, 3] * 3


def test_npz_dataset_is_stored_with_its_class_names(tmp_path: Path, labelled: Callable[..., LabelledImages]) -> None:
    for name, seed, count in (("train", 0, 40), ("test", 1, 20)):
        split = labelled(seed, count)
        np.savez(tmp_path / f"{name}.npz", image=split.images, label=split.labels)
    names = {"source": "npz", "train": str(tmp_path / "train.npz"), "class_names": tuple("abcd")}
    settings = NpzDatasetSettings.model_validate({**names, "test": str(tmp_path / "test.npz")})
    prepare_dataset(settings, 0, tmp_path, tmp_path / "official.h5")
    assert read_class_names(tmp_path / "official.h5") == tuple("abcd")
    assert np.array_equal(read_split(tmp_path / "official.h5", "test").images, labelled(1, 20).images)
    seeded = NpzDatasetSettings.model_validate({**names, "split": "seeded", "test_fraction": 0.25})
    prepare_dataset(seeded, 0, tmp_path, tmp_path / "seeded.h5")
    assert np.bincount(read_split(tmp_path / "seeded.h5", "test").labels).sum() == 10


def test_classes_without_names_are_called_by_their_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", image=IMAGES, label=LABELS)
    settings = NpzDatasetSettings(source="npz", train=str(tmp_path / "a.npz"), split="seeded", test_fraction=0.5)
    assert load(settings, tmp_path).class_names == ("0", "1", "2", "3")
