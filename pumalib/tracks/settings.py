"""Settings of what is gathered about every row of the pool during a training. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pumalib.settings import Settings

GradientNorm = Literal["l2", "l1", "linf"]


class PassSettings(Settings):
    """A quantity of every row of the pool, after some epochs."""

    first_epoch: int = Field(default=1, gt=0)
    """First epoch after which the pool is looked at, counted from 1."""
    last_epoch: int | None = Field(default=None, gt=0)
    """Last epoch; none: that of the training."""
    every: int = Field(default=1, gt=0)
    """Epochs from one look to the next, counted from `first_epoch`."""
    inputs: Literal["clean", "attacked"] = "clean"
    """Images as they are, or under the run's own inner attack at the threat's epsilon."""
    augmented: bool = False
    """Crop and flip the images as the run's training does, redrawn after each epoch, before any attack."""
    weights: Literal["current", "averaged"] = "current"
    """The weights in training, or their average."""

    @model_validator(mode="after")
    def _check(self) -> PassSettings:
        if self.last_epoch is not None and self.last_epoch < self.first_epoch:
            raise ValueError(
                f"expected last_epoch of at least first_epoch, got {self.last_epoch} after {self.first_epoch}"
            )
        return self


class CorrectSettings(PassSettings):
    """Whether each row is classified correctly."""

    inputs: Literal["clean", "attacked"] = "attacked"
    """As elsewhere; attacked by default, as classification difficulty was counted at first (Dong et al. 2021)."""


class InputGradientSettings(PassSettings):
    """Norm of the gradient of the cross-entropy by the image (AIGN)."""

    norm: GradientNorm = "l2"
    """`l2`; `l1`, the slope of the loss against a small L-inf perturbation; or `linf`."""


class VisitsSettings(Settings):
    """Counts of visits and of misclassified visits; costs nothing, has no options."""


class TrackSettings(Settings):
    """What a training gathers about every row, for scores. Each quantity is a key; none is gathered unless named.

    Example:
        >>> track = TrackSettings(correct={}, el2n={"last_epoch": 10}, visits={})
        >>> track.correct.inputs, track.el2n.last_epoch, track.grand
        ('attacked', 10, None)
    """

    correct: CorrectSettings | None = None
    """Whether the prediction is the label."""
    el2n: PassSettings | None = None
    """Length of the error vector, ||softmax f(x) - onehot(y)||_2."""
    loss: PassSettings | None = None
    """Cross-entropy."""
    grand: PassSettings | None = None
    """Norm of the row's gradient of the cross-entropy by all weights; costs a backward pass for each row."""
    aign: InputGradientSettings | None = None
    """Norm of the gradient of the cross-entropy by the image."""
    visits: VisitsSettings | None = None
    """Visits, and misclassified visits, of each row as training draws, augments and attacks it: for big pools."""
    batch_size: int = Field(default=500, gt=0)
    """Rows at once in a pass; where inputs are attacked or augmented it decides what is drawn for them too."""


def quantity_module(name: str) -> str:
    """Return the module of a quantity, by convention."""
    return f"pumalib.training.quantities.{name}"
