"""What a tracker is: a class that is told of each epoch of a training. Imports no torch."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pumalib.errors import ConfigError
from pumalib.files.user_modules import load_user_object

TENSORBOARD = "tensorboard"
_CALLED = ("begin", "log", "finish")


@dataclass(frozen=True)
class TrackedRun:
    """One training, as a tracker knows it.

    Attributes:
        study: name of the study.
        name: of the run.
        seed: of the study.
        folder: where the run's weights and history.csv come to be.
        first_epoch: that will be logged. Above 1, the training goes on after a kill: what was logged of this epoch and
            later ones counts no more.
    """

    study: str
    name: str
    seed: int
    folder: Path
    first_epoch: int


class Tracker(Protocol):
    """Is made without arguments in the process that trains, after the first epoch, and called from there."""

    def begin(self, run: TrackedRun, settings: Mapping[str, Any]) -> None:
        """Begin, before the first call of `log`.

        Args:
            run: the training.
            settings: of the run, as `run.yaml` holds them.
        """

    def log(self, epoch: int, values: Mapping[str, float]) -> None:
        """Take the numbers of an epoch.

        Args:
            epoch: counted from 1.
            values: those of the line of history.csv, by its columns; without those that were not measured.
        """

    def finish(self) -> None:
        """End, after the last call of `log`, also where the training fails or is stopped in order."""


def make_tracker(name: str) -> Tracker:
    """Make a tracker that is there: `tensorboard`, or a class of a user's own."""
    if name == TENSORBOARD:
        made: Tracker = importlib.import_module("pumalib.trackers.tensorboard").TensorBoard()
        return made
    tracker: Tracker = load_user_object(name, "a tracker")()
    return tracker


def expect_tracker(name: str, where: str) -> None:
    """Refuse a tracker that is not there, or that lacks a method.

    Args:
        name: "tensorboard" or "<module>:<class>".
        where: it is named, for the message.

    Raises:
        ConfigError: it is not there.
    """
    if name == TENSORBOARD:
        _expect_tensorboard(where)
        return
    if ":" not in name:
        raise ConfigError(f'expected {TENSORBOARD} or a class of yours, "<module>:<class>", got "{name}" at {where}')
    try:
        found = load_user_object(name, "a tracker")
    except ConfigError as error:
        raise ConfigError(f"{error}, at {where}") from None
    missing = [method for method in _CALLED if not callable(getattr(found, method, None))]
    if missing:
        raise ConfigError(f"expected a class with {', '.join(_CALLED)}, got none of {missing[0]} in {name}, at {where}")


def _expect_tensorboard(where: str) -> None:
    if importlib.util.find_spec(TENSORBOARD) is None:
        raise ConfigError(
            f"expected the package {TENSORBOARD} for tracker: {TENSORBOARD}, found none, at {where}; "
            f'pip install "pumalib[{TENSORBOARD}]"'
        )
