"""Density and coverage by hand and by the formula of their authors' code; neighbours within a class by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from pumalib.errors import DataError
from pumalib.synthesis.diversity import density_and_coverage, expected_coverage, neighbour_ratio


def levels(*values: int) -> NDArray[np.uint8]:
    """Return images of one pixel."""
    return np.array(values, np.uint8)[:, None, None, None]


def test_balls_around_four_real_images_are_counted_by_hand() -> None:
    # The nearest other real image lies 10, 10, 10 and 20 away. 5 is within the balls of 0 and 10, 30 within that of 40
    # alone, because the ball of 20 ends at 30.
    found = density_and_coverage(levels(0, 10, 20, 40), levels(5, 30), neighbours=1)
    assert found.density == 3 / 2
    assert found.coverage == 3 / 4


def test_a_generator_that_repeats_one_image_is_dense_and_covers_little() -> None:
    real = levels(0, 10, 20, 40, 60, 80)
    found = density_and_coverage(real, levels(*[10] * 50), neighbours=1)
    assert found.coverage == 1 / 6  # its own; those of 0 and 20 end where it lies
    assert found.density == 1


@given(
    num_real=st.integers(4, 25),
    num_generated=st.integers(1, 25),
    neighbours=st.integers(1, 3),
    block=st.integers(1, 30),
    seed=st.integers(0, 50),
)
def test_numbers_are_those_of_the_published_code(
    num_real: int, num_generated: int, neighbours: int, block: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    real, generated = (generator.integers(0, 4, (count, 2, 1, 1), np.uint8) for count in (num_real, num_generated))
    # The lines of `prdc` 0.2 (Naeem et al. 2020), on squared distances, which whole levels make exact.
    rows = [images.reshape(len(images), -1).astype(float) for images in (real, generated)]
    within = cdist(rows[0], rows[0], "sqeuclidean")
    radii = np.partition(within, neighbours, axis=-1)[:, : neighbours + 1].max(axis=-1)
    between = cdist(*rows, "sqeuclidean")
    density = (between < radii[:, None]).sum(axis=0).mean() / neighbours
    coverage = (between.min(axis=1) < radii).mean()
    found = density_and_coverage(real, generated, neighbours, block)
    assert found.density == pytest.approx(density)
    assert found.coverage == pytest.approx(coverage)


def test_coverage_expected_of_the_same_distribution_is_met_on_average() -> None:
    # Two real images and one more of three at random on a line: the ball reaches to the other real image, so it is
    # missed where the other real one is the nearer of the two, in half of the cases.
    assert expected_coverage(2, 1, 1) == pytest.approx(1 / 2)
    assert expected_coverage(10_000, 10_000, 5) == pytest.approx(1 - 2**-5, abs=1e-3)
    generator = np.random.default_rng(0)
    drawn = generator.integers(0, 256, (300, 24, 12, 1, 1), np.uint8)
    found = [density_and_coverage(images[:16], images[16:], 3) for images in drawn]
    assert np.mean([each.coverage for each in found]) == pytest.approx(expected_coverage(16, 8, 3), abs=0.02)
    assert np.mean([each.density for each in found]) == pytest.approx(1, abs=0.1)


def test_too_few_real_images_for_the_neighbours_are_refused() -> None:
    with pytest.raises(DataError, match=r"expected more than 2 real images, the neighbours asked for, .* got 2 and 1"):
        density_and_coverage(levels(0, 1), levels(0), neighbours=2)
    with pytest.raises(DataError, match="got 2 and 0"):
        density_and_coverage(levels(0, 1), levels(), neighbours=1)


def test_neighbours_of_a_class_lie_half_as_far_apart_by_hand() -> None:
    real, generated = levels(0, 10, 100, 140), levels(0, 5, 200, 220)
    labels = np.array([0, 0, 1, 1])
    ratio = neighbour_ratio(real, labels, generated, labels, np.random.default_rng(0))
    assert ratio == pytest.approx((5 + 5 + 20 + 20) / (10 + 10 + 40 + 40))


def test_as_many_images_of_a_class_are_drawn_of_either_side() -> None:
    real, generated = levels(0, 100), levels(*range(0, 200, 2))
    ratio = neighbour_ratio(real, np.zeros(2, int), generated, np.zeros(100, int), np.random.default_rng(1))
    assert ratio * 100 > 2  # of all hundred, each would lie 2 from the nearest


def test_classes_without_a_pair_or_without_a_distance_have_no_ratio() -> None:
    generator = np.random.default_rng(0)
    alone = neighbour_ratio(levels(0, 1), np.array([0, 1]), levels(0, 1), np.array([0, 1]), generator)
    equal = neighbour_ratio(levels(7, 7), np.zeros(2, int), levels(0, 1), np.zeros(2, int), generator)
    assert math.isnan(alone)
    assert math.isnan(equal)
