import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pumalib.errors import DataError
from pumalib.reporting.statistics import half_width, mean_correlation, mean_with_interval, spread, summarise


def test_summary_of_three_values_by_hand() -> None:
    mean, deviation, num_seeds = summarise([0.90, 0.91, 0.92])
    assert (mean, deviation, num_seeds) == (pytest.approx(0.91), pytest.approx(0.01), 3)


def test_one_seed_has_no_spread() -> None:
    assert summarise([0.9])[0] == 0.9
    assert math.isnan(summarise([0.9]).standard_deviation)


def test_no_seed_is_refused() -> None:
    with pytest.raises(DataError, match="at least one seed"):
        summarise([])


@pytest.mark.parametrize(
    ("num_seeds", "num_comparisons", "table_value"),
    [(3, 1, 4.303), (5, 1, 2.776), (10, 1, 2.262), (5, 5, 4.604), (10, 10, 3.690)],
)
def test_interval_width_agrees_with_a_printed_t_table(num_seeds: int, num_comparisons: int, table_value: float) -> None:
    values = [float(seed**2) for seed in range(num_seeds)]
    found = mean_with_interval(values, num_comparisons)
    standard_error = np.std(values, ddof=1) / math.sqrt(num_seeds)
    assert (found.high - found.mean) / standard_error == pytest.approx(table_value, abs=6e-4)
    assert found.mean - found.low == pytest.approx(found.high - found.mean)


def test_interval_agrees_with_the_t_test_of_scipy() -> None:
    values = np.random.default_rng(0).normal(size=7)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    found = mean_with_interval(values.tolist(), confidence=0.9)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("values", [[0.02], [0.02, 0.03]])
def test_fewer_than_three_seeds_give_a_mean_without_interval(values: list[float]) -> None:
    found = mean_with_interval(values)
    assert found.mean == pytest.approx(np.mean(values))
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert math.isnan(half_width(values))


@pytest.mark.parametrize(("num_comparisons", "confidence"), [(0, 0.95), (1, 1.0), (1, 0.0)])
def test_impossible_levels_are_refused(num_comparisons: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="expected num_comparisons"):
        mean_with_interval([0.1, 0.2], num_comparisons, confidence)


def test_the_interval_of_a_correlation_is_that_of_fishers_z() -> None:
    correlations = [-0.99, -0.80, -0.85]
    z = [0.5 * math.log((1 + r) / (1 - r)) for r in correlations]
    half = 4.302653 * np.std(z, ddof=1) / math.sqrt(3)
    found = mean_correlation(correlations)
    assert found.mean == pytest.approx(math.tanh(np.mean(z)))
    assert (found.low, found.high) == pytest.approx((math.tanh(np.mean(z) - half), math.tanh(np.mean(z) + half)))
    plain = mean_with_interval(correlations)
    assert plain.low < -1 < found.low  # what a plain interval would have said


@given(st.lists(st.floats(-0.999, 0.999), min_size=3, max_size=8), st.integers(1, 50))
def test_no_interval_of_a_correlation_is_beyond_the_possible(correlations: list[float], count: int) -> None:
    found = mean_correlation(correlations, count)
    assert -1 <= found.low <= found.mean <= found.high <= 1


def test_a_perfect_correlation_has_no_interval() -> None:
    found = mean_correlation([1.0, 0.9, 0.8])
    assert found.mean == pytest.approx(0.9)
    assert math.isnan(found.low)
    assert math.isnan(mean_correlation([math.nan, 0.5, 0.5]).mean)


def test_spread_names_one_number_or_the_range() -> None:
    assert spread([3, 3]) == "3"
    assert spread([5, 3, 4]) == "3 to 5"
