"""The difference of two independent means, against a sum done by hand and simulated studies."""

import math

import numpy as np
import pytest

from pumalib.reporting.estimates import Estimate, crossed_mean
from pumalib.reporting.families import compare_family
from pumalib.reporting.unpaired import unpaired_difference

FIVE, THREE = Estimate(0.6, 0.0004, 0.0001, 5, 100, 0, 1), Estimate(0.5, 0.0009, 0.0004, 3, 50, 0, 1)


def test_interval_is_the_sum_in_squares_of_all_four_parts() -> None:
    # printed 97.5 % points of Student's t with 4, 99, 2 and 49 degrees of freedom
    parts = (2.776, 0.0004), (1.984, 0.0001), (4.303, 0.0009), (2.010, 0.0004)
    half = math.sqrt(sum(point**2 * variance for point, variance in parts))
    assert half == pytest.approx(0.1475, abs=1e-4)
    difference = unpaired_difference(FIVE, THREE)
    assert difference.value == pytest.approx(0.1)
    assert difference.interval() == pytest.approx((0.1 - half, 0.1 + half), abs=1e-4)


def test_degrees_of_freedom_are_satterthwaites_over_all_parts() -> None:
    parts = 0.0004**2 / 4 + 0.0001**2 / 99 + 0.0009**2 / 2 + 0.0004**2 / 49
    assert unpaired_difference(FIVE, THREE).degrees_of_freedom == pytest.approx(0.0018**2 / parts)


def test_side_with_fewer_seeds_decides_what_may_be_claimed() -> None:
    far = unpaired_difference(Estimate(0.9, 1e-8, 1e-8, 5, 100), Estimate(0.1, 1e-8, 1e-8, 3, 100))
    assert far.num_seeds == 3
    assert compare_family({"far": far})["far"].direction == "cannot be told"
    two = unpaired_difference(FIVE, Estimate(0.5, 0.1, 0.1, 2, 50))
    assert np.isnan([*two.interval(), two.p_value(), two.degrees_of_freedom]).all()


def test_difference_the_other_way_round_is_mirrored() -> None:
    difference = unpaired_difference(FIVE, THREE)
    low, high = difference.interval()
    assert difference.mirrored().interval() == pytest.approx((-high, -low))
    assert difference.mirrored().value == -difference.value


def test_intervals_hold_the_truth_of_studies_with_other_seeds_and_images() -> None:
    rng = np.random.default_rng(0)

    def study(accuracy: float, num_seeds: int) -> Estimate:
        """Draw a study whose accuracy varies between seeds and between images."""
        chances = accuracy + 0.03 * rng.normal(size=(num_seeds, 1)) + rng.choice([-0.3, 0.3], 200)
        return crossed_mean((rng.random((num_seeds, 200)) < chances).astype(int))

    trials = [unpaired_difference(study(0.6, 5), study(0.5, 3)).interval() for _ in range(1000)]
    assert np.mean([low <= 0.1 <= high for low, high in trials]) >= 0.93
