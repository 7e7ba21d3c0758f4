"""Does an error fall as a power of alpha, or exponentially? Fits per seed, intervals over seeds. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumalib.perceptron.settings import MIN_FIT_POINTS
from pumalib.reporting.statistics import half_width


@dataclass(frozen=True)
class Slope:
    """A slope, its interval over seeds, and how far the fitted line is from the errors.

    Attributes:
        value: mean slope over seeds.
        low, high: 95 % t-interval over seeds; nan below three seeds.
        residual: root mean square, in units of log error, of the line through the mean log errors.
    """

    value: float
    low: float
    high: float
    residual: float


@dataclass(frozen=True)
class Decay:
    """Both fits to one curve.

    Attributes:
        power: slope of log error against log alpha; -1 where the error falls as 1 / alpha.
        exponential: slope of log error against alpha.
        num_points: alphas fitted.
    """

    power: Slope
    exponential: Slope
    num_points: int

    @property
    def better(self) -> str:
        """The law with the smaller residual; both have two parameters. A curve that does not fall has none."""
        if self.power.value >= 0:
            return "none"
        return "power" if self.power.residual <= self.exponential.residual else "exponential"


def fit_decay(alphas: NDArray[np.float64], errors: NDArray[np.float64]) -> Decay | None:
    """Fit both laws by least squares on the log error.

    Args:
        alphas: [A], ascending.
        errors: [S, A], one line per seed.

    Returns:
        None where there are fewer than `MIN_FIT_POINTS` alphas, or where an error is 0 or nan and has no logarithm.
    """
    if len(alphas) < MIN_FIT_POINTS or not (errors > 0).all():
        return None
    logs = np.log(errors)
    return Decay(_slope(np.log(alphas), logs), _slope(alphas, logs), len(alphas))


def _slope(places: NDArray[np.float64], logs: NDArray[np.float64]) -> Slope:
    centred = places - places.mean()
    slopes = logs @ centred / (centred @ centred)
    mean_log = logs.mean(0)
    line = mean_log.mean() + slopes.mean() * centred
    half = half_width(slopes.tolist())
    residual = float(np.sqrt(np.mean((mean_log - line) ** 2)))
    return Slope(float(slopes.mean()), float(slopes.mean() - half), float(slopes.mean() + half), residual)
