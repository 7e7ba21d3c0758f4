import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumalib.data.images import check_every_class, check_images, stratified_rows
from pumalib.errors import DataError


@settings(deadline=None, max_examples=80)
@given(labels=st.lists(st.integers(0, 6), min_size=1, max_size=80), share=st.floats(0, 1), seed=st.integers(0, 99))
def test_draw_is_exact_unique_ascending_and_within_one_row_of_each_class_share(
    labels: list[int], share: float, seed: int
) -> None:
    array = np.array(labels, np.int64)
    count = int(share * len(array))
    rows = stratified_rows(array, count, np.random.default_rng(seed))
    assert rows.dtype == np.int64
    assert len(rows) == count == len(set(rows.tolist()))
    assert (np.diff(rows) > 0).all()
    for label in np.unique(array):
        exact = (array == label).sum() * count / len(array)
        assert abs((array[rows] == label).sum() - exact) < 1


def test_largest_remainders_get_the_rows_that_are_left() -> None:
    labels = np.repeat(np.arange(3), [50, 30, 20])  # shares of 7 rows: 3.5, 2.1, 1.4
    rows = stratified_rows(labels, 7, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [4, 2, 1]


def test_every_row_is_drawn_about_equally_often() -> None:
    labels = np.arange(20) % 2
    counts = np.zeros(20)
    for seed in range(400):
        counts[stratified_rows(labels, 6, np.random.default_rng(seed))] += 1
    # 120 expected, binomial deviation 9.2: four of them
    assert np.abs(counts - 120).max() < 4 * 9.2


@pytest.mark.parametrize("count", [-1, 4])
def test_more_rows_than_there_are_cannot_be_drawn(count: int) -> None:
    with pytest.raises(DataError, match=f"expected a subset of at most 3 rows, got count {count}"):
        stratified_rows(np.zeros(3, np.int64), count, np.random.default_rng(0))


IMAGES, LABELS = np.zeros((3, 2, 2, 1), np.uint8), np.array([0, 1, 1])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.full((3, 2, 2, 1), np.nan), LABELS, "expected images without NaN or infinity, got 12 such values in it"),
        (IMAGES, np.array([0, 1, np.nan]), "expected labels without NaN or infinity, got 1 such values in it"),
        (IMAGES.astype(np.float32), LABELS, r"expected images as uint8 .* got float32 \[3, 2, 2, 1\] in it"),
        (IMAGES.astype(np.int16), LABELS, r"expected images as uint8 .* got int16"),
        (IMAGES[..., 0], LABELS, r"expected images as uint8 \[N, H, W, C\].* got uint8 \[3, 2, 2\]"),
        (np.zeros((3, 2, 2, 2), np.uint8), LABELS, "with 1 or 3 channels"),
        (np.zeros((3, 0, 2, 1), np.uint8), LABELS, r"got uint8 \[3, 0, 2, 1\]"),
        (IMAGES, LABELS.astype(float), r"expected labels as integers \[N\], got float64 \[3\]"),
        (IMAGES, LABELS[:, None], r"expected labels as integers \[N\], got int64 \[3, 1\]"),
        (IMAGES, LABELS[:2], "expected one label for each of 3 images, got 2 labels"),
        (IMAGES, np.array([0, 1, 2]), r"expected labels in \[0, 2\), got 0..2 in it"),
        (IMAGES, np.array([0, 1, -1]), r"expected labels in \[0, 2\), got -1..1 in it"),
        (IMAGES[:0], LABELS[:0], "expected at least one image, got none in it"),
    ],
)
def test_images_and_labels_not_in_the_one_form_are_refused(
    images: np.ndarray, labels: np.ndarray, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        check_images(images, labels, 2, "it")


def test_classes_without_a_row_are_named() -> None:
    check_every_class(np.array([0, 1, 2]), ("ant", "bee", "cat"), "it")
    with pytest.raises(DataError, match="expected at least one row of every class, got none of ant, cat in it"):
        check_every_class(np.array([1, 1]), ("ant", "bee", "cat"), "it")
