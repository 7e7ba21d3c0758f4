import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from pumalib.synthesis.quality import nearest_distances


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
