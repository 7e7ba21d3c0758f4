"""The perturbations that a model should be robust to. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pumalib.settings import PixelAmount, Settings

Norm = Literal["linf", "l2"]
"""In which the size of a perturbation is measured: the largest change of a pixel, or the root of the sum of squares."""


class ThreatSettings(Settings):
    """The perturbations a model should be robust to: all within a ball around the image.

    Example:
        >>> ThreatSettings(norm="l2", epsilon="128/255")
        ThreatSettings(norm='l2', epsilon=0.5019607843137255)
    """

    norm: Norm = "linf"
    """`linf` or `l2`."""
    epsilon: PixelAmount
    """Radius on the pixel scale [0, 1]; "8/255" is accepted."""
