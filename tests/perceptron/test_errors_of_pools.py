"""Errors by the rows before pruning, on lines whose errors are known functions of the pool."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumalib.perceptron.fits import fit_decay
from pumalib.perceptron.pools import errors_of_pools, pool_envelope, pool_sizes
from pumalib.perceptron.table import Line, envelope

ALPHAS = np.array([1.0, 2.0, 4.0, 8.0])


def line(kept: float, errors: np.ndarray, strategy: str = "pe") -> Line:
    name = "none" if kept == 1 else strategy
    return Line(name, kept, ALPHAS, np.atleast_2d(errors), ALPHAS / kept, np.zeros(4, int), 0.0)


@given(kept=st.floats(0.01, 1), slope=st.floats(-2, -0.1), size=st.floats(1, 8))
def test_power_law_is_read_off_exactly_between_the_points(kept, slope, size):
    (error,) = errors_of_pools(line(kept, 0.3 * ALPHAS**slope), np.array([size / kept]))[0]
    assert error == pytest.approx(0.3 * size**slope)


def test_pools_that_a_line_does_not_know_have_no_error():
    errors = errors_of_pools(line(0.1, ALPHAS), np.array([9.0, 10.0, 80.0, 81.0]))[0]
    np.testing.assert_array_equal(np.isnan(errors), [True, False, False, True])


def test_sizes_reach_from_the_smallest_alpha_to_the_largest_pool():
    sizes = pool_sizes([line(1, ALPHAS), line(0.1, ALPHAS)])
    assert sizes[0] == 1
    assert 80 / 2**0.5 < sizes[-1] <= 80
    np.testing.assert_allclose(sizes[1:] / sizes[:-1], 2**0.5)


def test_best_fraction_of_a_pool_weighs_what_is_kept_against_what_is_thrown_away():
    # A cliff after which the error is the kept fraction over alpha: any pool beyond it is worth the same, 1 / size.
    cliff = np.where(ALPHAS > 2, 0.1 / ALPHAS, 1.0)
    lines = [line(1, 1 / ALPHAS), line(0.1, 0.1 * cliff)]
    after, fractions = envelope(lines, "pe")
    best, pool_fractions = pool_envelope(lines, "pe")
    assert fractions.tolist() == [0.1] * 4  # by the rows after pruning, less is always better
    is_known = best.alphas <= 8
    np.testing.assert_allclose(best.errors[0, is_known], 1 / best.alphas[is_known])
    assert set(pool_fractions[is_known]) == {1.0}
    assert after.errors[0, 3] == pytest.approx(0.1 * 0.1 / 8)


def test_gain_of_a_constant_factor_by_the_rows_drawn_is_a_power_law():
    fractions = (1, 0.3, 0.1, 0.03, 0.01)
    lines = [line(kept, np.where(ALPHAS >= 2, kept / ALPHAS, 0.5)) for kept in fractions]
    best, _ = pool_envelope(lines, "pe")
    is_fitted = best.alphas >= 2
    fit = fit_decay(best.alphas[is_fitted], best.errors[:, is_fitted])
    assert fit is not None
    assert fit.power.value == pytest.approx(-1)
    assert fit.better == "power"


def test_other_strategy_is_no_choice():
    lines = [line(1, 1 / ALPHAS), line(0.5, 0.01 * ALPHAS, "pd")]
    _, fractions = pool_envelope(lines, "pe")
    assert set(fractions[:7]) == {1.0}


def test_size_that_comes_out_worse_than_a_smaller_one_is_unknown():
    lines = [line(1, 1 / ALPHAS), line(0.01, np.full(4, 0.5))]
    best, fractions = pool_envelope(lines, "pe")
    is_known = best.alphas <= 8
    np.testing.assert_allclose(best.errors[0, is_known], 1 / best.alphas[is_known])
    assert np.isnan(best.errors[0, ~is_known]).all()
    assert np.isnan(fractions[~is_known]).all()
