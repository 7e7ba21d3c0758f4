"""How far a learning is: a line of progress.csv and of the log every so often."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pumalib.files.artifacts import writing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """One line of progress.csv.

    Attributes:
        step: steps done.
        loss: mean of what is minimised since the line before; nan before the first step.
        clean_accuracy: of a fresh network trained naturally on the images as they are; nan where not measured.
        robust_accuracy: the same under PGD-10 at the threat's epsilon.
        split: whose images that is measured on: `validation`, or `train`; empty where not measured.
        seconds_left: at the mean speed of this job; nan before its first step.
    """

    step: int
    loss: float
    clean_accuracy: float
    robust_accuracy: float
    split: str
    seconds_left: float


class Progress:
    """The lines so far, written whole each time one is added.

    Args:
        path: CSV to write; None: the log alone.
        num_steps: of the whole learning.
        first_step: steps done before this job.
        records: lines of a saved state.
    """

    def __init__(
        self, path: Path | None, num_steps: int, first_step: int = 0, records: list[dict[str, Any]] | None = None
    ) -> None:
        self.records = [Record(**record) for record in records or []]
        self._path, self._num_steps, self._first_step = path, num_steps, first_step
        self._started = time.monotonic()
        if first_step:
            log.info("go on from step %d of %d", first_step, num_steps)

    def add(
        self,
        step: int,
        loss: float,
        accuracies: tuple[float, float] = (float("nan"), float("nan")),
        split: str = "",
    ) -> None:
        """Add a line, to the log and to the file."""
        self.records.append(Record(step, loss, *accuracies, split, self._seconds_left(step)))
        log.info("of %d steps: %s", self._num_steps, self.records[-1])
        if self._path is not None:
            with writing(self._path) as temporary:
                pd.DataFrame(self.state_dict()).to_csv(temporary, index=False)

    def _seconds_left(self, step: int) -> float:
        done = step - self._first_step
        if done == 0:
            return float("nan")
        return round((self._num_steps - step) * (time.monotonic() - self._started) / done, 1)

    def state_dict(self) -> list[dict[str, Any]]:
        """Return the lines as a saved state holds them."""
        return [asdict(record) for record in self.records]
