"""What every attack is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pumalib.attacks.gradient_ascent import Clip
from pumalib.attacks.threat_settings import Norm


@dataclass(frozen=True)
class Ball:
    """Where an attack may look.

    Attributes:
        norm: `linf` or `l2`.
        epsilon: radius, pixel scale.
        clip: range of valid inputs, or None.
    """

    norm: Norm
    epsilon: float
    clip: Clip = (0.0, 1.0)


@dataclass(frozen=True)
class Batch:
    """Rightly classified images under attack.

    Attributes:
        images: [B, ...] float.
        labels: [B] int64.
        rows: [B] int64, their numbers among all images; with the seed, all that random numbers may depend on.
        seed: of the random numbers.
    """

    images: Tensor
    labels: Tensor
    rows: NDArray[np.int64]
    seed: int


@dataclass(frozen=True)
class Found:
    """What an attack ends with.

    Attributes:
        images: [B, ...] like the batch's: the first point seen to be misclassified (with `minimum_norm`, the nearest
            one found, in the ball or not), else the last or best one tried.
        prediction: [B] int64, what the model was seen to predict there. It is not asked again: so near a boundary
            the rounding of another batch could answer otherwise.
    """

    images: Tensor
    prediction: Tensor
