"""The difference of two means that are taken as independent: of other seeds, or of other test images."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pumalib.reporting.estimates import Estimate


@dataclass(frozen=True)
class UnpairedEstimate(Estimate):
    """A difference of two means, with the parts of the variance of both.

    The half width squared is the sum of those of both means: Banerjee's interval over all of their parts. Where the
    two share images or train rows all the same, their means go together, and the interval is too wide, not too narrow.

    Attributes:
        sides: the means; `value` is the first minus the second.

    Source: Banerjee 1960 (Sankhya 22).
    """

    sides: tuple[Estimate, Estimate] = field(kw_only=True)

    @property
    def degrees_of_freedom(self) -> float:
        """Satterthwaite's, of the sum of all parts; nan without an interval."""
        if not self.has_interval:
            return math.nan
        variances = [each.seed_variance + each.image_variance for each in self.sides]
        parts = [variance**2 / each.degrees_of_freedom for variance, each in zip(variances, self.sides, strict=True)]
        return sum(variances) ** 2 / sum(parts)

    def _half_width(self, left_out: float) -> float:
        return math.hypot(*(each._half_width(left_out) for each in self.sides))


def unpaired_difference(mean: Estimate, reference: Estimate) -> UnpairedEstimate:
    """Estimate by how much a mean is above another that is independent of it.

    The side with fewer seeds decides whether there is an interval, and what may be claimed.

    Args:
        mean, reference: over seeds, shares in [0, 1].

    Returns:
        A difference of shares in [-1, 1].
    """
    return UnpairedEstimate(
        value=mean.value - reference.value,
        seed_variance=mean.seed_variance + reference.seed_variance,
        image_variance=mean.image_variance + reference.image_variance,
        num_seeds=min(mean.num_seeds, reference.num_seeds),
        num_images=min(mean.num_images, reference.num_images),
        lowest=-1,
        highest=1,
        sides=(mean, reference),
    )
