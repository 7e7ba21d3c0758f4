"""Pruned training sets drawn directly: nothing is generated that pruning would throw away.

A student without bias sees an input x and its label y only as the product y x, so rows are signed inputs: their
component along the teacher is ``|t.x| >= 0``, and all else is Gaussian. Pruning by the true margin keeps a range of
quantiles of ``|t.x|``, which is sampled through the inverse of its distribution. Cutting at the quantiles of the
distribution, not of a finite pool, is a choice of ours; the two agree for large pools.

All sets of a seed share their Gaussian part and their uniform draws. They differ by a matrix of rank one each,

    y x = g + shift t,   shift = |t.x| - g.t

so that one matrix product serves every curve, and curves are compared on common random numbers. Smaller sets are the
first rows of larger ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from torch import Tensor

from pumalib.perceptron.settings import PerceptronSettings
from pumalib.perceptron.teachers import dual_norm
from pumalib.randomness import numpy_generator


class Curve(NamedTuple):
    """One line of a figure: how the set is pruned, and what the student trains against.

    Attributes:
        strategy: `none`, `pe` or `pd`.
        kept_fraction: in (0, 1]; of what the filter leaves.
        is_filtered: whether margins of at most epsilon are removed first.
        epsilon: L-inf radius of FGSM.
    """

    strategy: str
    kept_fraction: float
    is_filtered: bool
    epsilon: float


@dataclass(frozen=True)
class SignedInputs:
    """Signed inputs of P pruned sets over one Gaussian part.

    In float64: the rounding of float32 would carry rows of the most strongly pruned sets across the teacher's boundary.

    Attributes:
        gaussian: [N, K] float64.
        teacher: [K] float64, of norm 1.
        shift: [N, P] float64: what each set adds along the teacher.
    """

    gaussian: Tensor
    teacher: Tensor
    shift: Tensor

    def first(self, num_rows: int) -> SignedInputs:
        """Return the sets of the first rows."""
        return SignedInputs(self.gaussian[:num_rows], self.teacher, self.shift[:num_rows])

    def curves(self, chosen: Tensor) -> SignedInputs:
        """Return the sets of some curves, [P] bool."""
        return SignedInputs(self.gaussian, self.teacher, self.shift[:, chosen])

    def products(self, weights: Tensor) -> Tensor:
        """Return y x.w of each row, [N, P], for weights [K, P]."""
        return torch.mm(self.gaussian, weights).addcmul_(self.shift, self.teacher @ weights)

    def combination(self, coefficients: Tensor) -> Tensor:
        """Return the sum of each set's rows weighted by coefficients [N, P], [K, P]."""
        along = torch.einsum("np,np->p", self.shift, coefficients)
        return torch.mm(self.gaussian.T, coefficients).addr_(self.teacher, along)

    def rows(self, curve: int) -> Tensor:
        """Return one set as it is, y x, [N, K]."""
        return torch.addr(self.gaussian, self.shift[:, curve], self.teacher)


def curves_of(settings: PerceptronSettings) -> list[Curve]:
    """Return the curves of a student and teacher. At epsilon 0 the filter removes nothing and is left out."""
    return [
        Curve(strategy, fraction, is_filtered, epsilon)
        for epsilon in settings.epsilons
        for is_filtered in (False, True)[: 1 + (epsilon > 0)]
        for strategy, fraction in _prunings(settings)
    ]


def _prunings(settings: PerceptronSettings) -> Iterator[tuple[str, float]]:
    yield "none", 1.0
    for strategy in settings.strategies:
        for fraction in settings.kept_fractions:
            yield strategy, fraction


def kept_quantiles(curve: Curve, teacher: NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of quantiles of ``|t.x|`` that a curve keeps, within [0, 1].

    The filter removes L-inf margins ``|t.x| / ||t||_1`` of at most epsilon; the kept fraction counts in what is left.
    """
    low = _share_within(curve.epsilon, teacher) if curve.is_filtered else 0.0
    kept = curve.kept_fraction * (1 - low)
    return (1 - kept, 1.0) if curve.strategy == "pd" else (low, low + kept)


def pool_share(curve: Curve, teacher: NDArray[np.float64]) -> float:
    """Return the share of all rows drawn that is left after the filter and pruning."""
    low, high = kept_quantiles(curve, teacher)
    return float(high - low)


def mislabelled_share(curve: Curve, teacher: NDArray[np.float64]) -> float:
    """Return the share of a curve's rows that the attack can carry across the teacher's boundary, exactly.

    Those of an L-inf margin of at most epsilon: their perturbed inputs may have the other label.
    """
    low, high = kept_quantiles(curve, teacher)
    within = _share_within(curve.epsilon, teacher)
    return float(np.clip((within - low) / (high - low), 0, 1))


def _share_within(epsilon: float, teacher: NDArray[np.float64]) -> float:
    """Return the share of unpruned inputs whose L-inf margin is at most epsilon."""
    return float(2 * ndtr(epsilon * dual_norm(teacher, "linf")) - 1)


def draw_signed_inputs(
    curves: Sequence[Curve], teacher: NDArray[np.float64], num_rows: int, seed: int, device: torch.device
) -> SignedInputs:
    """Draw the sets of all curves.

    Args:
        curves: P of them.
        teacher: [K], of norm 1.
        num_rows: N, rows after pruning.
        seed: of the Gaussian part and the quantiles, which do not depend on curves, teacher or N.
        device: where the sets go.
    """
    drawn = numpy_generator(seed, "perceptron", "gaussian").standard_normal((num_rows, len(teacher)), np.float32)
    gaussian = drawn.astype(np.float64)
    uniform = numpy_generator(seed, "perceptron", "quantiles").random((num_rows, 1))
    low, high = np.array([kept_quantiles(curve, teacher) for curve in curves]).T
    component = ndtri((1 + low + uniform * (high - low)) / 2)
    arrays = (gaussian, teacher, component - (gaussian @ teacher)[:, None])
    return SignedInputs(*(torch.from_numpy(array).to(device) for array in arrays))
