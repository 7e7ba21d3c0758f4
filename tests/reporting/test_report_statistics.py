import math

import numpy as np
import pytest
from scipy import stats

from pumalib.errors import DataError
from pumalib.reporting.statistics import (
    PairedDifference,
    is_non_inferior,
    paired_difference,
    spread,
    summarise,
    verdict,
)


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
    [(3, 1, 4.303), (5, 1, 2.776), (10, 1, 2.262), (5, 5, 4.604), (10, 10, 3.690), (2, 1, 12.706)],
)
def test_interval_width_agrees_with_a_printed_t_table(num_seeds: int, num_comparisons: int, table_value: float) -> None:
    values = {seed: float(seed**2) for seed in range(num_seeds)}
    difference = paired_difference(values, dict.fromkeys(values, 0.0), num_comparisons)
    standard_error = np.std(list(values.values()), ddof=1) / math.sqrt(num_seeds)
    assert (difference.high - difference.mean) / standard_error == pytest.approx(table_value, abs=6e-4)
    assert difference.mean - difference.low == pytest.approx(difference.high - difference.mean)


def test_interval_agrees_with_the_paired_t_test_of_scipy() -> None:
    generator = np.random.default_rng(0)
    values, baseline = generator.normal(size=(2, 7))
    expected = stats.ttest_rel(values, baseline).confidence_interval(0.9)
    difference = paired_difference(dict(enumerate(values)), dict(reversed(list(enumerate(baseline)))), confidence=0.9)
    assert difference.low == pytest.approx(expected.low)
    assert difference.high == pytest.approx(expected.high)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    num_trials, truth = 2000, 0.3
    noise = generator.normal(truth, 1.0, (num_trials, 5))
    shared = generator.normal(0.0, 20.0, (num_trials, 5))
    covered = 0
    for common, extra in zip(shared, noise, strict=True):
        difference = paired_difference(dict(enumerate(common + extra)), dict(enumerate(common)))
        covered += difference.low <= truth <= difference.high
    assert covered / num_trials == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / num_trials))


def test_corrected_intervals_cover_all_truths_together() -> None:
    generator = np.random.default_rng(2)
    num_trials, num_comparisons = 600, 4
    all_covered = 0
    for _ in range(num_trials):
        baseline = dict(enumerate(generator.normal(size=5)))
        runs = [dict(enumerate(generator.normal(size=5))) for _ in range(num_comparisons)]
        intervals = [paired_difference(run, baseline, num_comparisons) for run in runs]
        all_covered += all(each.low <= 0 <= each.high for each in intervals)
    assert all_covered / num_trials >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / num_trials)


def test_one_seed_gives_a_difference_without_interval() -> None:
    difference = paired_difference({3: 0.92}, {3: 0.90})
    assert difference.mean == pytest.approx(0.02)
    assert math.isnan(difference.low)
    assert math.isnan(difference.high)
    assert difference.num_seeds == 1


def test_unpaired_seeds_are_refused_by_name() -> None:
    with pytest.raises(DataError, match="run lacks seed 2, 4;"):
        paired_difference({0: 0.9, 1: 0.9}, {0: 0.9, 1: 0.9, 4: 0.9, 2: 0.9})
    with pytest.raises(DataError, match="baseline lacks seed 7;"):
        paired_difference({0: 0.9, 7: 0.9}, {0: 0.9})


@pytest.mark.parametrize(("num_comparisons", "confidence"), [(0, 0.95), (1, 1.0), (1, 0.0)])
def test_impossible_levels_are_refused(num_comparisons: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="expected num_comparisons"):
        paired_difference({0: 0.9}, {0: 0.9}, num_comparisons, confidence)


@pytest.mark.parametrize(
    ("low", "expected"), [(0.001, True), (-0.004, True), (-0.005, False), (-0.02, False), (math.nan, False)]
)
def test_non_inferiority_needs_the_low_end_above_the_margin(low: float, expected: bool) -> None:
    assert is_non_inferior(low) is expected


@pytest.mark.parametrize(
    ("low", "high", "num_seeds", "expected"),
    [
        (-0.004, 0.010, 5, "yes"),
        (-0.020, 0.010, 5, "cannot be told"),
        (-0.030, -0.010, 5, "no"),
        (-0.010, -0.001, 5, "cannot be told"),
        (-0.004, 0.010, 4, "cannot be told"),
        (-0.030, -0.010, 4, "cannot be told"),
        (math.nan, math.nan, 1, "cannot be told"),
    ],
)
def test_verdict_needs_an_interval_on_one_side_and_five_seeds(
    low: float, high: float, num_seeds: int, expected: str
) -> None:
    assert verdict(PairedDifference((low + high) / 2, low, high, num_seeds)) == expected


def test_spread_names_one_number_or_the_range() -> None:
    assert spread([3, 3]) == "3"
    assert spread([5, 3, 4]) == "3 to 5"
