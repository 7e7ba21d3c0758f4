"""Settings of the ways to leave rows out of single epochs. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pumalib.settings import Settings


class InfoBatchSettings(Settings):
    """Leave out of each epoch some rows of low loss, others each time, and let the rest weigh more (InfoBatch, Qin et
    al. 2024)."""

    method: Literal["infobatch"] = "infobatch"
    """Which way to leave rows out of an epoch."""
    fraction: float = Field(default=0.5, gt=0, lt=1)
    """Share of the rows with less than the mean loss that an epoch leaves out; the others of them count
    1 / (1 - fraction) times."""
    until: float = Field(default=0.875, gt=0, le=1)
    """Share of the epochs after which no row is left out any more."""


DynamicPruningSettings = InfoBatchSettings
"""Ways to leave rows out of single epochs."""


def dynamic_module(method: str) -> str:
    """Return the module of a way to leave rows out of single epochs, by convention."""
    return f"pumalib.training.dynamic.{method}"
