import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pumalib.perceptron.fits import fit_decay
from pumalib.reporting.statistics import half_width

ALPHAS = np.array([2.0, 4.0, 8.0, 16.0, 32.0])


@given(slope=st.floats(-3, -0.1), scale=st.floats(1e-4, 10))
def test_power_law_is_recovered_and_told_from_an_exponential(slope, scale):
    errors = np.outer([1.0, 1.1, 0.9], scale * ALPHAS**slope)
    fit = fit_decay(ALPHAS, errors)
    assert fit.power.value == pytest.approx(slope)
    assert (fit.power.low, fit.power.high) == pytest.approx((slope, slope))
    assert fit.power.residual == pytest.approx(0, abs=1e-9)
    assert fit.better == "power"


@given(rate=st.floats(-1, -0.01), scale=st.floats(1e-4, 10))
def test_exponential_is_recovered_and_told_from_a_power_law(rate, scale):
    fit = fit_decay(ALPHAS, np.outer([1.0, 2.0], scale * np.exp(rate * ALPHAS)))
    assert fit.exponential.value == pytest.approx(rate)
    assert fit.better == "exponential"


def test_slope_and_line_are_those_of_least_squares():
    errors = np.exp(np.random.default_rng(0).standard_normal((1, 5)))
    fit = fit_decay(ALPHAS, errors)
    peer = stats.linregress(np.log(ALPHAS), np.log(errors[0]))
    assert fit.power.value == pytest.approx(peer.slope)
    line = peer.intercept + peer.slope * np.log(ALPHAS)
    assert fit.power.residual == pytest.approx(np.sqrt(np.mean((np.log(errors[0]) - line) ** 2)))
    assert np.isnan(fit.power.low)


def test_interval_over_seeds_is_the_t_interval_of_the_slopes():
    slopes = np.array([-1.2, -0.9, -1.0, -1.1])
    fit = fit_decay(ALPHAS, ALPHAS ** slopes[:, None])
    expected = stats.t.interval(0.95, 3, slopes.mean(), stats.sem(slopes))
    assert (fit.power.low, fit.power.high) == pytest.approx(expected)
    assert half_width(slopes) == pytest.approx((expected[1] - expected[0]) / 2)


def test_curve_that_does_not_fall_follows_neither_law():
    assert fit_decay(ALPHAS, np.array([[0.4, 0.4, 0.42, 0.43, 0.43]])).better == "none"


@pytest.mark.parametrize("errors", [[[0.1, 0.0, 0.1, 0.1, 0.1]], [[0.1, 0.1, 0.1, 0.1, 0.0]]])
def test_error_of_zero_is_not_fitted(errors):
    assert fit_decay(ALPHAS, np.array(errors)) is None


def test_two_alphas_are_not_fitted():
    assert fit_decay(ALPHAS[:2], np.ones((3, 2))) is None
