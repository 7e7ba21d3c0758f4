"""Tells a tracker of each epoch, by listening to the log of the training.

A training logs the record of each epoch (`training.history.EpochRecord`), in the process that leads it alone. So its
code, and with it the fingerprint that decides what reruns, knows nothing of trackers.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pumalib.trackers.tracker import TrackedRun, Tracker, expect_tracker, make_tracker

log = logging.getLogger(__name__)

_OF_TRAININGS = "pumalib.training.train"
"""The log that the epochs of trainings go to."""
_OF_A_RECORD = ("epoch", "images_seen")
"""Attributes that tell the record of an epoch from all else that is logged."""


@contextmanager
def epochs_tracked(tracked: Mapping[str, Any] | None) -> Iterator[None]:
    """Tell a tracker of every epoch that is trained meanwhile in this process.

    Args:
        tracked: `tracker`, `study`, `name`, `seed`, `folder` and `settings` of the run, as JSON holds them; None:
            nothing is told.

    Raises:
        ConfigError: no such tracker.
    """
    if tracked is None:
        yield
        return
    expect_tracker(tracked["tracker"], "tracker")
    listener = _EpochListener(tracked)
    logging.getLogger(_OF_TRAININGS).addHandler(listener)
    try:
        yield
    finally:
        logging.getLogger(_OF_TRAININGS).removeHandler(listener)
        listener.finish()


class _EpochListener(logging.Handler):
    """Hands the records of epochs on; a tracker that fails is left out from then on, and the training goes on."""

    def __init__(self, tracked: Mapping[str, Any]) -> None:
        super().__init__(logging.INFO)
        self._tracked = tracked
        self._tracker: Tracker | None = None
        self._has_failed = False

    def emit(self, record: logging.LogRecord) -> None:
        """Tell of the epoch that a line of the log is about, if it is about one."""
        for argument in record.args if isinstance(record.args, tuple) else ():
            if _is_record(argument):
                self._try(partial(self._tell, dict(vars(argument))))

    def finish(self) -> None:
        """End the tracker, if it has begun."""
        if self._tracker is not None:
            self._try(self._tracker.finish)

    def _tell(self, line: dict[str, Any]) -> None:
        epoch = int(line.pop("epoch"))
        if self._tracker is None:
            self._tracker = self._begun(epoch)
        numbers = {name: float(value) for name, value in line.items() if isinstance(value, int | float)}
        self._tracker.log(epoch, {name: value for name, value in numbers.items() if not math.isnan(value)})

    def _begun(self, epoch: int) -> Tracker:
        """Make the tracker: of all processes of a training, this one alone has something to tell."""
        about = self._tracked
        tracker = make_tracker(about["tracker"])
        tracker.begin(
            TrackedRun(about["study"], about["name"], about["seed"], Path(about["folder"]), epoch), about["settings"]
        )
        return tracker

    def _try(self, call: Callable[[], None]) -> None:
        if self._has_failed:
            return
        try:
            with _random_numbers_put_back():
                call()
        except Exception as error:  # whatever a tracker raises, the training is worth more
            self._has_failed = True
            log.warning(
                "tracker %s is left out from here on: %s: %s", self._tracked["tracker"], type(error).__name__, error
            )


def _is_record(argument: object) -> bool:
    return is_dataclass(argument) and all(hasattr(argument, name) for name in _OF_A_RECORD)


@contextmanager
def _random_numbers_put_back() -> Iterator[None]:
    """Keep torch's random numbers from a tracker that draws some."""
    import torch

    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices):
        yield
