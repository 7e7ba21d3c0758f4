import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pumalib.reporting.estimates import Estimate, Interval
from pumalib.reporting.families import compare_family, equivalence, holm, non_inferior


def of_seeds(value: float, standard_error: float = 0.01, num_seeds: int = 5) -> Estimate:
    return Estimate(value, standard_error**2, 0.0, num_seeds, 1000, -1, 1)


def test_holms_p_values_equal_those_done_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_a_comparison_without_p_value_counts_as_one() -> None:
    adjusted = holm([math.nan, 0.01])
    assert math.isnan(adjusted[0])
    assert adjusted[1] == pytest.approx(0.02)


@given(st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=12))
def test_an_interval_leaves_out_0_exactly_where_a_difference_is_told(values: list[float]) -> None:
    family = compare_family({place: of_seeds(value) for place, value in enumerate(values)})
    for each in family.values():
        if abs(each.p_value - 0.05) > 1e-6:
            assert (each.direction != "cannot be told") == (not each.interval.low <= 0 <= each.interval.high)
        if each.direction != "cannot be told":
            assert each.direction == ("higher" if each.estimate.value > 0 else "lower")


def test_what_holm_alone_tells_has_the_interval_of_its_step() -> None:
    critical = [stats.t.isf(0.05 / count / 2, 4) * 0.01 for count in (2, 1)]
    family = compare_family({"far": of_seeds(0.2), "near": of_seeds((critical[0] + critical[1]) / 2)})
    assert not family["far"].is_of_step
    assert family["near"].is_of_step
    assert family["near"].interval.low == pytest.approx((critical[0] - critical[1]) / 2)
    assert family["near"].joint.low == pytest.approx((critical[1] - critical[0]) / 2)
    assert family["near"].mirrored().joint.high == pytest.approx((critical[0] - critical[1]) / 2)


@pytest.mark.slow
def test_the_chance_of_any_false_difference_on_a_page_is_at_most_five_per_cent() -> None:
    generator = np.random.default_rng(0)
    false = 0
    for _ in range(2000):
        baseline = generator.normal(size=6)
        runs = generator.normal(size=(4, 6))
        differences = runs - baseline
        family = compare_family(
            {place: of_seeds(each.mean(), each.std(ddof=1) / 6**0.5, 6) for place, each in enumerate(differences)}
        )
        false += any(each.direction != "cannot be told" for each in family.values())
    assert false / 2000 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_fewer_than_five_seeds_tell_nothing() -> None:
    (compared,) = compare_family({"x": of_seeds(0.5, num_seeds=4)}).values()
    assert compared.p_value < 0.05
    assert compared.direction == "cannot be told"


@pytest.mark.parametrize(
    ("value", "num_seeds", "equivalent", "non_inferior", "inferior", "superior"),
    [
        (0.0, 5, True, True, False, False),
        (0.03, 5, False, True, False, False),
        (-0.03, 5, False, False, False, False),
        (-0.10, 5, False, False, True, False),
        (0.10, 5, False, True, False, True),
        (0.0, 4, False, False, False, False),
        (0.0, 2, False, False, False, False),
    ],
)
def test_two_one_sided_tests_say_what_they_show(
    value: float, num_seeds: int, equivalent: bool, non_inferior: bool, inferior: bool, superior: bool
) -> None:
    tested = equivalence(of_seeds(value, num_seeds=num_seeds), 0.03)
    assert tested.is_equivalent is equivalent
    assert tested.is_non_inferior is non_inferior
    assert tested.is_inferior is inferior
    assert tested.is_superior is superior


def test_the_two_p_values_are_those_of_one_sided_t_tests_and_agree_with_the_90_per_cent_interval() -> None:
    differences = np.array([0.001, 0.004, -0.002, 0.003, 0.000])
    estimate = of_seeds(differences.mean(), differences.std(ddof=1) / 5**0.5)
    tested = equivalence(estimate, 0.005)
    assert tested.p_below == pytest.approx(stats.ttest_1samp(differences, -0.005, alternative="greater").pvalue)
    assert tested.p_above == pytest.approx(stats.ttest_1samp(differences, 0.005, alternative="less").pvalue)
    assert tested.p_equivalent == max(tested.p_below, tested.p_above)
    low, high = tested.interval
    assert tested.is_equivalent == (low > -0.005 and high < 0.005)


@pytest.mark.parametrize(
    ("low", "high", "num_seeds", "expected"),
    [
        (-0.004, 0.010, 5, "yes"),
        (-0.005, 0.010, 5, "cannot be told"),
        (-0.020, 0.010, 5, "cannot be told"),
        (-0.030, -0.010, 5, "no"),
        (-0.010, -0.001, 5, "cannot be told"),
        (-0.004, 0.010, 4, "cannot be told"),
        (-0.030, -0.010, 4, "cannot be told"),
        (math.nan, math.nan, 5, "cannot be told"),
    ],
)
def test_non_inferiority_needs_an_interval_on_one_side_and_five_seeds(
    low: float, high: float, num_seeds: int, expected: str
) -> None:
    assert non_inferior(of_seeds(0.0, num_seeds=num_seeds), Interval(low, high)) == expected


def test_a_margin_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a margin above 0"):
        equivalence(of_seeds(0.0), 0)
