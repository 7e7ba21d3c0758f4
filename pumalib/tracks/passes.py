"""What passes over the pool a training makes, when, and what each looks at. Imports no torch."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from pumalib.tracks.settings import InputGradientSettings, PassSettings, TrackSettings

PASSES = ("correct", "el2n", "loss", "grand", "aign")
"""Quantities measured in a pass over the whole pool."""
VISITS = "visits"
"""What is counted when training visits a row anyway."""


class Kind(NamedTuple):
    """What a pass looks at; quantities of one kind share it."""

    weights: Literal["current", "averaged"]
    inputs: Literal["clean", "attacked"]
    is_augmented: bool


class PassPlan(NamedTuple):
    """A quantity that a training gathers.

    Attributes:
        settings: of the pass.
        epochs: after which the pool is looked at.
        last_epoch: of the training.
        norm: of the gradient; None: the quantity has none.
    """

    settings: PassSettings
    epochs: range
    last_epoch: int
    norm: str | None


def plan_of(track: TrackSettings, epochs: int) -> tuple[dict[str, PassPlan], tuple[str, ...]]:
    """Return the passes of a training of so many epochs, by quantity, and the names of everything gathered."""
    passes = {
        name: PassPlan(wanted, epochs_of(wanted, epochs), epochs, options_of(wanted).get("norm"))
        for name, wanted in passes_of(track).items()
    }
    return passes, names_of(track)


def passes_of(track: TrackSettings) -> dict[str, PassSettings]:
    """Return the quantities that need passes over the pool, by name."""
    found = {name: getattr(track, name) for name in PASSES}
    return {name: settings for name, settings in found.items() if settings is not None}


def names_of(track: TrackSettings) -> tuple[str, ...]:
    """Return the names of everything gathered."""
    return tuple(passes_of(track)) + ((VISITS,) if track.visits is not None else ())


def epochs_of(settings: PassSettings, total: int) -> range:
    """Return the epochs, counted from 1, after which a training of `total` epochs looks at the pool."""
    return range(settings.first_epoch, min(settings.last_epoch or total, total) + 1, settings.every)


def kind_of(settings: PassSettings) -> Kind:
    """Return what a pass looks at."""
    return Kind(settings.weights, settings.inputs, settings.augmented)


def options_of(settings: PassSettings) -> dict[str, Any]:
    """Return keyword arguments of the quantity's `measure`."""
    return {"norm": settings.norm} if isinstance(settings, InputGradientSettings) else {}
