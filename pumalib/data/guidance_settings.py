"""Settings of a model that guides a generator while it samples."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pumalib.settings import Name, Settings


class GuidanceSettings(Settings):
    """A push while sampling, by the gradient of what a model makes of the images."""

    method: Literal["margin", "entropy"]
    """`margin`: towards the decision boundary, and asking for nothing beyond it; `entropy`: towards images that the
    model is unsure of (Hemmat et al. 2023, Askari-Hemmat et al. 2025)."""
    model: Name
    """Name of a run on the same dataset; not of one that is trained on these samples."""
    weight: float = Field(default=1.0, ge=0)
    """How much it counts; 0: nothing, at the same cost."""
