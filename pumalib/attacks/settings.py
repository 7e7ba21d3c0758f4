"""Settings of the threat model and of the attacks that evaluate a model. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pumalib.settings import PositiveAmount, Settings

Norm = Literal["linf", "l2"]


class ThreatSettings(Settings):
    """The perturbations a model should withstand."""

    norm: Norm = "linf"
    """`linf` or `l2`."""
    epsilon: PositiveAmount
    """Radius on the pixel scale [0, 1]; "8/255" is accepted."""


class _AttackSettings(Settings):
    norm: Norm | None = None
    """Must be the threat's norm; none: the threat's."""
    epsilon: PositiveAmount | None = None
    """Radius on the pixel scale; none: the threat's."""
    split: Literal["test", "validation"] = "test"
    """Which images are attacked. Choose settings on `validation`; look at `test` once."""
    num_images: int | None = Field(default=None, gt=0)
    """Attack only the first this many images of the split; none: all."""
    batch_size: int = Field(default=500, gt=0)
    """Images a batch; changes the speed, not the result."""


class _PgdSettings(_AttackSettings):
    steps: int = Field(default=40, gt=0)
    """Gradient steps."""
    step_size: PositiveAmount | None = None
    """Step on the pixel scale; none: a quarter of epsilon (2/255 at 8/255)."""
    restarts: int = Field(default=1, gt=0)
    """Random starts; an image is robust if it withstands all."""
    random_start: bool = True
    """Start uniformly inside the ball rather than at the image."""


class CwPgdSettings(_PgdSettings):
    """PGD on the Carlini-Wagner margin loss: the "C&W" of PUMA's tables."""

    method: Literal["cw_pgd"]


class PgdSettings(_PgdSettings):
    """PGD on the cross-entropy."""

    method: Literal["pgd"]


class CleanSettings(_AttackSettings):
    """No perturbation: clean accuracy alone."""

    method: Literal["clean"]


AttackSettings = Annotated[CwPgdSettings | PgdSettings | CleanSettings, Field(discriminator="method")]


def attack_module(method: str) -> str:
    """Return the module of an attack, by convention."""
    return f"pumalib.attacks.{method}"
