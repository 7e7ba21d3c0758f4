import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from pumalib.errors import DataError
from pumalib.synthesis.quality import count_copies, nearest_distances

HELD_OUT: NDArray[np.float32] = np.arange(1, 102, dtype=np.float32)
"""Distances 1 to 101: the 1 % quantile is 2."""
SYNTHETIC: NDArray[np.float32] = np.array([0, 0, 1.5, 2, 50, 60, 70, 80], np.float32)


def random_images(seed, count, shape=(5, 4, 3)):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), dtype=np.uint8)


@given(
    num_queries=st.integers(1, 12),
    num_references=st.integers(1, 12),
    block=st.integers(1, 15),
    seed=st.integers(0, 100),
)
def test_distances_are_those_of_scipy(num_queries, num_references, block, seed):
    queries, references = random_images(seed, num_queries), random_images(seed + 1, num_references)
    flat = [images.reshape(len(images), -1) / 255 for images in (queries, references)]
    expected = cdist(*flat).min(axis=1)
    distances = nearest_distances(queries, references, block)
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances, expected, rtol=1e-6)


def test_distance_of_a_copy_is_exactly_zero():
    references = random_images(0, 50)
    assert not nearest_distances(references[::-1], references, block=7).any()


def test_no_queries_give_no_distances():
    assert nearest_distances(random_images(0, 0), random_images(0, 3)).shape == (0,)


def test_images_of_another_shape_or_no_references_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        nearest_distances(random_images(0, 2), random_images(0, 2, (5, 4, 1)))
    with pytest.raises(ValueError, match="one or more"):
        nearest_distances(random_images(0, 2), random_images(0, 0))


def test_copies_and_near_rows_are_counted_by_hand() -> None:
    counts = count_copies(SYNTHETIC, HELD_OUT)
    assert counts.near_distance == pytest.approx(2.0)
    assert (counts.num_nearer, counts.num_copies, counts.num_held_out_copies) == (3, 2, 0)


def test_rows_of_one_distribution_are_near_in_about_one_per_cent() -> None:
    generator = np.random.default_rng(0)
    synthetic, held_out = generator.gamma(20, size=(2, 20_000)).astype(np.float32)
    assert count_copies(synthetic, held_out).num_nearer / 20_000 == pytest.approx(0.01, abs=0.003)


@pytest.mark.parametrize("bad", [[], [np.nan, 1.0], [-1.0]])
def test_impossible_distances_are_refused(bad: list[float]) -> None:
    with pytest.raises(DataError, match="synthetic distance"):
        count_copies(np.array(bad, np.float32), HELD_OUT)
    with pytest.raises(DataError, match="held-out distance"):
        count_copies(SYNTHETIC, np.array(bad, np.float32))
