"""What the training of one run and seed is asked to do: settings, files in, files out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pumalib.jobs.states import StatePlace
from pumalib.training.run_settings import RunSettings


@dataclass(frozen=True)
class RunPaths:
    """The files of one training.

    Attributes:
        dataset: dataset file, for its validation rows.
        pool: pool file.
        selection: selection file of this pool.
        model: weights to write.
        history: CSV to write.
        track: HDF5 file to write.
        settings: YAML to write.
        start: weights to start from; None: new ones.
        kept: weights to write of each epoch that is kept, ascending.
    """

    dataset: Path
    pool: Path
    selection: Path
    model: Path
    history: Path
    track: Path
    settings: Path
    start: Path | None = None
    kept: tuple[Path, ...] = ()

    @property
    def outputs(self) -> tuple[Path, ...]:
        """What is written."""
        return self.model, self.history, self.track, self.settings, *self.kept


@dataclass(frozen=True)
class TrainingTask:
    """One training.

    Attributes:
        settings: of the run.
        paths: files in and out.
        name: of the run.
        seed: of the study.
        state_place: where to keep the state until all files are written; None: a kill loses everything.
    """

    settings: RunSettings
    paths: RunPaths
    name: str
    seed: int
    state_place: StatePlace | None = None
