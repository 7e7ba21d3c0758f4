"""Estimates over seeds and images, against sums of squares done by hand, scipy and statsmodels."""

import importlib.util
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from pumalib.errors import DataError
from pumalib.reporting.estimates import Estimate, crossed, crossed_difference, crossed_mean, resampled_mean

CORRECT = np.array([[1, 1, 1, 0, 1, 0], [1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 1, 0]])
BASELINE = np.array([[1, 0, 1, 0, 1, 0], [0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 0, 0]])


def mean_squares(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean squares of seeds, images and residuals, term by term."""
    num_seeds, num_images = values.shape
    of_seeds = of_images = rest = 0.0
    for seed in range(num_seeds):
        of_seeds += num_images * (values[seed].mean() - values.mean()) ** 2
        for image in range(num_images):
            of_cell = values[seed, image] - values[seed].mean() - values[:, image].mean() + values.mean()
            rest += of_cell**2
    for image in range(num_images):
        of_images += num_seeds * (values[:, image].mean() - values.mean()) ** 2
    return (
        of_seeds / (num_seeds - 1),
        of_images / (num_images - 1),
        rest / ((num_seeds - 1) * (num_images - 1)),
    )


def test_variance_and_interval_of_a_difference_equal_a_two_way_analysis_done_by_hand() -> None:
    values = np.float64(CORRECT - BASELINE)
    # rows 0 1 0 0 0 0, 1 1 0 -1 0 0 and 0 1 -1 0 1 0: each mean 1/6; column means 1/3 1 -1/3 -1/3 1/3 0
    # images: 3 (4/9 + 1 - 6/36) / 5; all: 7 - 18/36; residuals: (6.5 - 3.8333) / 10
    seeds, images, rest = mean_squares(values)
    assert (seeds, images, rest) == (pytest.approx(0), pytest.approx(0.7666667), pytest.approx(0.2666667))
    estimate = crossed_difference(CORRECT, BASELINE)
    assert estimate.value == pytest.approx(1 / 6)
    assert estimate.seed_variance == pytest.approx(0)
    assert estimate.image_variance == pytest.approx(max((images - rest) / 18, 1 / 36))
    half = math.sqrt(stats.t.ppf(0.975, 5) ** 2 * estimate.image_variance)
    assert estimate.interval() == pytest.approx((1 / 6 - half, 1 / 6 + half))


def test_the_parts_add_up_to_the_variance_of_crossed_random_effects() -> None:
    values = np.random.default_rng(0).normal(size=(4, 1)) + np.random.default_rng(1).normal(size=(4, 30))
    values += 2 * np.random.default_rng(2).normal(size=30)
    seeds, images, rest = mean_squares(values)
    estimate = crossed(values)
    assert estimate.seed_variance + estimate.image_variance == pytest.approx((seeds + images - rest) / (4 * 30))
    df = (estimate.seed_variance + estimate.image_variance) ** 2 / (
        estimate.seed_variance**2 / 3 + estimate.image_variance**2 / 29
    )
    assert estimate.degrees_of_freedom == pytest.approx(df)


@pytest.mark.skipif(not importlib.util.find_spec("statsmodels"), reason="statsmodels is not installed")
def test_mean_squares_equal_those_of_statsmodels() -> None:
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    values = np.random.default_rng(5).normal(size=(4, 20))
    frame = pd.DataFrame([(s, i, values[s, i]) for s in range(4) for i in range(20)], columns=["s", "i", "y"])
    table = anova_lm(ols("y ~ C(s) + C(i)", frame).fit())["mean_sq"]
    estimate = crossed(values)
    assert estimate.seed_variance == pytest.approx(table["C(s)"] / 80)
    assert estimate.image_variance == pytest.approx(max((table["C(i)"] - table["Residual"]) / 80, 1 / 400))


def test_without_a_variance_of_images_the_interval_is_the_t_interval_over_seeds() -> None:
    estimate = Estimate(0.5, 0.01**2, 0.0, 5, 1000)
    values = np.array([0.0, 0.0, 0.0, 0.0, 0.0]) + 0.5
    values[:2] += np.array([1, -1]) * 0.01 * math.sqrt(20) / math.sqrt(2)
    expected = stats.ttest_1samp(values, 0.5).confidence_interval(0.95)
    assert estimate.interval() == pytest.approx((expected.low, expected.high))


def test_without_a_variance_of_seeds_the_interval_is_the_t_interval_over_images() -> None:
    one = np.random.default_rng(1).integers(0, 2, 300).astype(float)
    estimate = crossed_mean([one, one, one])
    expected = stats.ttest_1samp(one, 0).confidence_interval(0.95)
    assert estimate.interval() == pytest.approx((expected.low, expected.high))


def test_overlapping_splits_widen_the_t_interval_by_nadeau_and_bengios_factor() -> None:
    values = [0.011, 0.002, 0.020, 0.015, 0.004]
    plain = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    estimate = resampled_mean(values, 593 / 1084, 593, -1, 1)
    wide = (plain.high - plain.low) * math.sqrt(1 + 5 * 593 / 1084)
    assert np.diff(estimate.interval()) == pytest.approx(wide)
    t = np.mean(values) / (np.std(values, ddof=1) * math.sqrt(1 / 5 + 593 / 1084))
    assert estimate.p_value() == pytest.approx(2 * stats.t.sf(t, 4))


@given(st.floats(1e-6, 1e-2), st.floats(1e-6, 1e-2), st.integers(3, 12), st.floats(-0.5, 0.5), st.floats(0.001, 0.5))
def test_an_interval_leaves_out_a_truth_exactly_where_its_p_value_is_smaller(
    of_seeds: float, of_images: float, num_seeds: int, truth: float, left_out: float
) -> None:
    estimate = Estimate(0.1, of_seeds, of_images, num_seeds, 500)
    low, high = estimate.interval(left_out)
    p_value = estimate.p_value(truth)
    if abs(p_value - left_out) > 1e-9:
        assert (low <= truth <= high) == (p_value > left_out)
    assert estimate.p_below(truth) + estimate.p_above(truth) == pytest.approx(1)


def test_intervals_end_at_what_is_possible() -> None:
    correct = np.ones((3, 50))
    correct[0, :20] = correct[1, :1] = 0
    assert crossed_mean(correct).interval()[1] == 1
    low, high = crossed_difference(correct, 1 - correct).interval(0.001)
    assert (low, high) == (-1, 1)


def test_runs_that_never_differ_get_an_interval_of_an_image_or_two() -> None:
    correct = np.random.default_rng(0).integers(0, 2, (5, 1000))
    low, high = crossed_difference(correct, correct).interval()
    assert high == pytest.approx(stats.t.ppf(0.975, 999) / 1000)
    assert low == -high
    assert resampled_mean([0.5] * 3, 0.5, 100).interval().high > 0.5


@pytest.mark.parametrize("num_seeds", [1, 2])
def test_fewer_than_three_seeds_have_neither_interval_nor_p_value(num_seeds: int) -> None:
    for estimate in (crossed_mean(np.eye(4)[:num_seeds]), resampled_mean([0.5] * num_seeds, 0.5, 10)):
        assert not estimate.has_interval
        for number in (*estimate.interval(), estimate.p_value(), estimate.p_below(0), estimate.degrees_of_freedom):
            assert math.isnan(number)
    assert crossed_mean(np.eye(4)[:num_seeds]).value == 0.25


def test_the_other_way_round_is_the_opposite_number() -> None:
    one, other = crossed_difference(CORRECT, BASELINE), crossed_difference(BASELINE, CORRECT)
    assert one.mirrored().value == other.value
    assert one.mirrored().interval() == pytest.approx(other.interval())


def test_what_is_no_table_of_right_and_wrong_is_refused() -> None:
    with pytest.raises(DataError, match=r"expected \[seeds, images\]"):
        crossed_mean([1, 0, 1])
    with pytest.raises(DataError, match="expected 0 or 1"):
        crossed_mean([[0.5, 1], [1, 0]])
    with pytest.raises(DataError, match="expected the same seeds and images"):
        crossed_difference(np.eye(3), np.eye(4))
    with pytest.raises(DataError, match="test_to_train above 0"):
        resampled_mean([0.5], 0, 10)
    with pytest.raises(ValueError, match="expected a share"):
        crossed_mean(CORRECT).interval(0)
