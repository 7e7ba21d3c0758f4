"""Accuracies and differences of accuracies with the variance that seeds and test images give them together.

For anyone's own data: `crossed_mean` and `crossed_difference` take whether each image was right, [seeds, images];
`resampled_mean` takes one value per seed where each seed has a split of its own. docs/statistics.md has the formulas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from pumalib.errors import DataError
from pumalib.reporting.statistics import MIN_SEEDS_FOR_INTERVAL

_SMALLEST_P = 1e-12


class Interval(NamedTuple):
    """The two ends of an interval, in units of what is estimated; nan: there is none.

    Attributes:
        low, high: the ends.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and test images, and the variance of that mean in two independent parts.

    Intervals add the parts as Banerjee does: half width^2 = t(S - 1)^2 seed_variance + t(I - 1)^2 image_variance.
    For independent normal parts they cover at least what they say. Satterthwaite's interval, t(df) with one variance,
    does not: with 3 seeds and nine tenths of the variance from seeds it covers 0.92 of the nominal 0.95. A seed
    variance from two degrees of freedom is often far too small by chance, and Satterthwaite's df are then large too.

    Attributes:
        value: the mean.
        seed_variance: of the mean, by what changes from seed to seed, the noise of single answers included.
        image_variance: of the mean, by which test images there are; 0 where splits are drawn anew for each seed.
        num_seeds, num_images: S and I.
        lowest, highest: between which the truth lies in any case; intervals are cut there.

    Source: Banerjee 1960 (Sankhya 22); Satterthwaite 1946 (Biometrics Bulletin 2).
    """

    value: float
    seed_variance: float
    image_variance: float
    num_seeds: int
    num_images: int
    lowest: float = -math.inf
    highest: float = math.inf

    @property
    def has_interval(self) -> bool:
        """Whether there are seeds enough for an interval."""
        return self.num_seeds >= MIN_SEEDS_FOR_INTERVAL and not math.isnan(self.value)

    @property
    def standard_error(self) -> float:
        """Square root of the variance of the mean; nan without an interval."""
        return math.sqrt(self.seed_variance + self.image_variance) if self.has_interval else math.nan

    @property
    def degrees_of_freedom(self) -> float:
        """Satterthwaite's, of the sum of both parts; told beside an interval, which does not use them."""
        if not self.has_interval:
            return math.nan
        parts = self.seed_variance**2 / (self.num_seeds - 1) + self.image_variance**2 / (self.num_images - 1)
        return (self.seed_variance + self.image_variance) ** 2 / parts

    def interval(self, left_out: float = 0.05) -> Interval:
        """Return the two-sided interval that leaves out this share; nan below three seeds.

        Raises:
            ValueError: a share outside (0, 1).
        """
        if not 0 < left_out < 1:
            raise ValueError(f"expected a share in (0, 1) to leave out, got {left_out}")
        if not self.has_interval:
            return Interval(math.nan, math.nan)
        half = self._half_width(left_out)
        return Interval(max(self.value - half, self.lowest), min(self.value + half, self.highest))

    def p_value(self, truth: float = 0.0) -> float:
        """Return the share that the widest interval without this truth leaves out; nan below three seeds."""
        if not self.has_interval:
            return math.nan
        distance = abs(self.value - truth)
        if distance == 0:
            return 1.0
        if self._half_width(_SMALLEST_P) <= distance:
            return _SMALLEST_P
        log_share = optimize.brentq(lambda log: self._half_width(math.exp(log)) - distance, math.log(_SMALLEST_P), 0)
        return min(1.0, math.exp(log_share))

    def p_below(self, truth: float) -> float:
        """Return the one-sided p-value against a true value of at most `truth`; nan below three seeds."""
        half = self.p_value(truth) / 2
        return half if self.value >= truth else 1 - half

    def p_above(self, truth: float) -> float:
        """Return the one-sided p-value against a true value of at least `truth`; nan below three seeds."""
        half = self.p_value(truth) / 2
        return half if self.value <= truth else 1 - half

    def mirrored(self) -> Estimate:
        """Return the estimate of the opposite number, such as a difference the other way round."""
        return replace(self, value=-self.value, lowest=-self.highest, highest=-self.lowest)

    def _half_width(self, left_out: float) -> float:
        of_seeds = stats.t.isf(left_out / 2, self.num_seeds - 1) ** 2 * self.seed_variance
        of_images = stats.t.isf(left_out / 2, self.num_images - 1) ** 2 * self.image_variance
        return math.sqrt(of_seeds + of_images)


def crossed_mean(correct: ArrayLike) -> Estimate:
    """Estimate an accuracy over seeds that share their test images, with both as sources of error.

    Args:
        correct: [S, I] of 0 and 1: whether the model of each of S seeds is right about each of I images.

    Returns:
        A share in [0, 1], with standard error, interval and p-values.

    Raises:
        DataError: another shape, or other values.

    Source: Searle, Casella and McCulloch 1992, ch. 4, for the variance; Banerjee 1960 for the interval. That a variance
        is never below that of one image more is a choice of ours.

    Example:
        >>> accuracy = crossed_mean([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 1, 1]])
        >>> accuracy.value
        0.75
        >>> [round(end, 2) for end in accuracy.interval()]
        [0, 1]
    """
    return crossed(_zeros_and_ones(correct), 0, 1)


def crossed_difference(correct: ArrayLike, baseline: ArrayLike) -> Estimate:
    """Estimate by how much one run is more accurate than another, paired by seed and image.

    Args:
        correct: [S, I] of 0 and 1, of the run: whether the model of each of S seeds is right about each of I images.
        baseline: [S, I] of 0 and 1, of the other run, with the same seeds and images in the same order.

    Returns:
        A difference of shares in [-1, 1], above 0 where the run is better, with standard error, interval and p-values.

    Raises:
        DataError: shapes that differ, or other values.

    Source: as `crossed_mean`.

    Example:
        >>> import numpy as np
        >>> generator = np.random.default_rng(0)
        >>> baseline = generator.random((5, 400)) < 0.8
        >>> better = baseline | (generator.random((5, 400)) < 0.5)  # also right about half of the others
        >>> difference = crossed_difference(better, baseline)
        >>> round(difference.value, 2), [round(end, 2) for end in difference.interval()], difference.p_value() < 0.001
        (0.11, [0.09, 0.13], True)
    """
    one, other = _zeros_and_ones(correct), _zeros_and_ones(baseline)
    if one.shape != other.shape:
        raise DataError(
            f"expected the same seeds and images on both sides, got {list(one.shape)} and {list(other.shape)}; "
            "attack both runs with the same seeds and images"
        )
    return crossed(one - other, -1, 1)


def crossed(values: NDArray[np.float64], lowest: float = -math.inf, highest: float = math.inf) -> Estimate:
    """Estimate the mean of values of a seed and an image, both random and crossed.

    Model: value = mean + seed effect + image effect + residual. The mean's variance is
    sigma2_seed / S + sigma2_image / I + sigma2_residual / (S I). It is estimated by
    (MS_seed + MS_image - MS_residual) / (S I). Its parts: MS_seed / (S I) holds the seeds and the residuals,
    (MS_image - MS_residual) / (S I) the images. An image part below 0 is set to 0, which only widens. One wrong image
    more would move the mean by 1 / I, so the image part is never below 1 / I^2: runs that never differ get an interval
    too (both choices are ours).

    Args:
        values: [S, I] with I of at least 2.
        lowest, highest: between which the true mean lies in any case.

    Source: Searle, Casella and McCulloch 1992, Variance Components, ch. 4 (two-way crossed, one value a cell).
    """
    num_seeds, num_images = values.shape
    mean, seed_means, image_means = values.mean(), values.mean(1), values.mean(0)
    count = num_seeds * num_images
    seed_variance, image_variance = math.nan, math.nan
    if num_seeds > 1:
        residuals = values - seed_means[:, None] - image_means[None, :] + mean
        residual_square = float((residuals**2).sum()) / ((num_seeds - 1) * (num_images - 1))
        image_square = num_seeds * float(image_means.var(ddof=1))
        seed_variance = float(seed_means.var(ddof=1)) / num_seeds
        image_variance = max((image_square - residual_square) / count, 1 / num_images**2)
    return Estimate(float(mean), seed_variance, image_variance, num_seeds, num_images, lowest, highest)


def resampled_mean(
    values: ArrayLike, test_to_train: float, num_images: int, lowest: float = 0, highest: float = 1
) -> Estimate:
    """Estimate the mean of one value for each seed, where each draws its train and test images from the same ones.

    Splits of one set overlap, so that their values go together and the plain t interval is too narrow. The variance of
    the mean is s^2 (1 / S + test_to_train) instead of s^2 / S. The correction is a heuristic, because no unbiased
    variance exists (Bengio and Grandvalet 2004). It assumes that what is learned depends little on which rows were
    drawn: simulated coverage stays above 0.93 until half of the variance over seeds comes from the train rows, and
    falls to 0.8 where all of it does. The variance is never below 1 / I^2, as in `crossed_mean`.

    Args:
        values: [S] numbers: an accuracy, or a difference of two, of each of S seeds.
        test_to_train: rows of the test split over rows of the train split, above 0.
        num_images: test images of a seed, I, at least 2.
        lowest, highest: between which the truth lies in any case. Intervals are cut there.

    Returns:
        The mean, in units of the values, with standard error, interval and p-values.

    Raises:
        DataError: values that are no list of at least one, or a ratio that is not above 0.

    Source: Nadeau and Bengio 2003 (Machine Learning 52), section 5, the corrected resampled t-test.

    Example:
        >>> accuracy = resampled_mean([0.81, 0.79, 0.80, 0.82, 0.78], test_to_train=0.25, num_images=500)
        >>> round(accuracy.value, 2), [round(end, 3) for end in accuracy.interval()]
        (0.8, [0.771, 0.829])
    """
    numbers = np.asarray(values, np.float64)
    if numbers.ndim != 1 or not len(numbers) or not test_to_train > 0 or num_images < 2:
        raise DataError(
            f"expected a value per seed, test_to_train above 0 and 2 images, got shape {list(numbers.shape)}, "
            f"{test_to_train} and {num_images}"
        )
    num_seeds = len(numbers)
    variance = math.nan
    if num_seeds > 1:
        variance = max(float(numbers.var(ddof=1)) * (1 / num_seeds + test_to_train), 1 / num_images**2)
    return Estimate(float(numbers.mean()), variance, 0.0, num_seeds, num_images, lowest, highest)


def _zeros_and_ones(correct: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(correct, np.float64)
    if values.ndim != 2 or values.shape[0] < 1 or values.shape[1] < 2:
        raise DataError(f"expected [seeds, images] with 1 seed and 2 images at least, got shape {list(values.shape)}")
    if not np.isin(values, (0, 1)).all():
        raise DataError("expected 0 or 1 for each seed and image: whether it was right; got other values")
    return values
