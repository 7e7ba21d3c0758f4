"""The perturbations that a model should withstand. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pumalib.settings import PixelAmount, Settings

Norm = Literal["linf", "l2"]


class ThreatSettings(Settings):
    """The perturbations a model should withstand."""

    norm: Norm = "linf"
    """`linf` or `l2`."""
    epsilon: PixelAmount
    """Radius on the pixel scale [0, 1]; "8/255" is accepted."""
