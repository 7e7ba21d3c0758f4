"""Runs of a study: trainings and models trained elsewhere, as spelled and resolved. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from pumalib.errors import ConfigError
from pumalib.models.imported_settings import ImportedModelSettings
from pumalib.models.settings import ArchitectureSettings, CheckpointWeights
from pumalib.selection.settings import (
    EpsilonSettings,
    FarSettings,
    FixedEpsilon,
    PruneSettings,
    RelabelSettings,
    scores_read,
)
from pumalib.setting_errors import describe
from pumalib.settings import Name, Settings
from pumalib.study.sweep_settings import SweptSettings
from pumalib.tracks.settings import TrackSettings
from pumalib.training.settings import TradesSettings, TrainingSettings, keys_of_other_methods
from pumalib.training.start_settings import StartSettings


class RunOverrides(Settings):
    """What a run changes of `defaults`; `training` key by key, everything else whole."""

    pool: Name | None = None
    """Name under `pools`."""
    architecture: ArchitectureSettings | None = None
    """A name such as `mlp`, or `{name: ..., width: ...}`."""
    training: TrainingSettings = TradesSettings()
    """The recipe."""
    prune: tuple[PruneSettings, ...] = ()
    """Cuts; none: every row of the pool is kept."""
    epsilon: EpsilonSettings = FixedEpsilon()
    """Epsilon of each row."""
    far: FarSettings | None = None
    """Rows of a large margin, which training attacks with fewer steps; none: all rows with as many."""
    relabel: RelabelSettings | None = None
    """Rows whose label a margin model denies, which are trained under its class; none: all under their own label."""
    track: TrackSettings = TrackSettings()
    """What to gather about every row of the pool on the way, for scores."""
    repetition: int = Field(default=0, ge=0)
    """Another value gives other initial weights and another order within the same seed."""
    start_from: StartSettings | None = None
    """Weights to start from: the name of a run, or `{checkpoint: path}`; none: new ones."""
    checkpoint: str | None = None
    """Path of weights trained elsewhere, which are attacked and never trained; under a run alone."""
    weights: CheckpointWeights | None = None
    """Which weights of a `checkpoint` that holds both `model` and `averaged` ones."""
    sweep: SweptSettings | None = None
    """Values of settings, such as `{training.beta: [1, 5]}`: a run for each choice of them; under a run alone."""


class Run(Settings):
    """One training, resolved: defaults and overrides merged."""

    pool: Name
    architecture: ArchitectureSettings
    training: TrainingSettings = TradesSettings()
    prune: tuple[PruneSettings, ...] = ()
    epsilon: EpsilonSettings = FixedEpsilon()
    far: FarSettings | None = None
    relabel: RelabelSettings | None = None
    track: TrackSettings = TrackSettings()
    repetition: int = Field(default=0, ge=0)
    start_from: StartSettings | None = None

    @property
    def scores(self) -> tuple[str, ...]:
        """Names of the scores its selection reads, sorted."""
        return scores_read(self.prune, self.epsilon, self.far, self.relabel)


class ImportedRun(ImportedModelSettings):
    """A model trained elsewhere, resolved: it is attacked and looked through, and never trained."""

    pool: Name
    """Name under `pools`: the data that it is attacked on."""


IMPORTED_KEYS = ("checkpoint", "architecture", "weights", "pool")
"""Keys of a run with a checkpoint. It takes architecture and pool from `defaults`, and nothing else."""


def refuse_keys_of_one_run(defaults: Mapping[str, Any], origin: str) -> None:
    """Refuse defaults that would make every run a model trained elsewhere, or a sweep.

    Raises:
        ConfigError: with the key.
    """
    for key in ("checkpoint", "weights", "sweep"):
        if defaults.get(key) is not None:
            raise ConfigError(f"expected {key} under a run of its own, got it at defaults.{key} ({origin})")


def resolve_run(name: str, defaults: dict[str, Any], own: dict[str, Any], origin: str) -> Run | ImportedRun:
    """Merge defaults and what a run says.

    Args:
        name: of the run.
        defaults: of the study, as spelled.
        own: what the run says, as spelled.
        origin: how errors name the file.

    Raises:
        ConfigError: keys that do not go together, or impossible values.
    """
    if own.get("checkpoint") is not None:
        return _resolve_imported(name, defaults, own, origin)
    if own.get("weights") is not None:
        raise ConfigError(f"expected weights only with checkpoint at runs.{name}.weights ({origin})")
    merged = {key: value for key, value in {**defaults, **own}.items() if key not in ("checkpoint", "weights", "sweep")}
    inherited, changed = dict(defaults.get("training") or {}), dict(own.get("training") or {})
    if "method" in changed:
        foreign = keys_of_other_methods(str(changed["method"]))
        inherited = {key: value for key, value in inherited.items() if key not in foreign}
    merged["training"] = {**inherited, **changed}
    try:
        return Run.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(describe(error, Run, ("runs", name), origin)) from None


def _resolve_imported(name: str, defaults: dict[str, Any], own: dict[str, Any], origin: str) -> ImportedRun:
    """Resolve a run with a checkpoint; refuse keys of a training."""
    others = [key for key in own if key not in IMPORTED_KEYS]
    if others:
        raise ConfigError(
            f"expected a run with a checkpoint to have {', '.join(IMPORTED_KEYS)} alone, because it is never trained, "
            f"got {', '.join(others)} at runs.{name}; leave it out ({origin})"
        )
    inherited = {key: defaults[key] for key in ("architecture", "pool") if key in defaults}
    try:
        return ImportedRun.model_validate({**inherited, **own})
    except ValidationError as error:
        raise ConfigError(describe(error, ImportedRun, ("runs", name), origin)) from None
