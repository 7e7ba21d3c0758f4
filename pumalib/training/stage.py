"""The training stage: a pool and a selection in; weights, history, track and resolved settings out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.datasets import has_split, read_split, split_fingerprint
from pumalib.data.pool import open_pool
from pumalib.files.artifacts import write_text
from pumalib.files.tables import write_table
from pumalib.jobs.devices import enough_memory
from pumalib.jobs.states import StateFile, StatePlace, state_key
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import save_trained
from pumalib.randomness import derive_seed
from pumalib.ranks import ALONE, Ranks
from pumalib.selection.settings import OnlineEpsilonSettings
from pumalib.selection.stage import read_selection
from pumalib.tracks.file import write_track
from pumalib.tracks.settings import TrackSettings
from pumalib.training.settings import TrainingSettings
from pumalib.training.train import NO_TRACK, train_on_rows
from pumalib.training.trainer import TrainingRows

_ADVICE = "lower device_images_gib (the same result), track.batch_size or batch_size (another result) of the training"


def train_run(
    architecture: ArchitectureSettings,
    settings: TrainingSettings,
    threat: ThreatSettings,
    *,
    name: str,
    seed: int,
    dataset: Path,
    pool_path: Path,
    selection_path: Path,
    model: Path,
    history: Path,
    track: Path,
    run: Path,
    device: str,
    tracked: TrackSettings = NO_TRACK,
    repetition: int = 0,
    online: OnlineEpsilonSettings | None = None,
    state: StatePlace | None = None,
    code: Mapping[str, str] | None = None,
    ranks: Ranks = ALONE,
) -> None:
    """Train one run of one seed and store its weights (averaged), its history, its track and its settings.

    Args:
        architecture: the network.
        settings: the recipe.
        threat: norm and epsilon.
        name: of the run, for the progress bar.
        seed: of the study.
        dataset: dataset file, for its validation rows.
        pool_path: pool file.
        selection_path: selection file of this pool.
        model: weights to write.
        history: CSV to write.
        track: HDF5 file to write.
        run: YAML to write.
        device: torch device.
        tracked: what to gather about every row.
        repetition: another value gives other initial weights and another order within the seed.
        online: the run's epsilon policy where it works during training.
        state: where to keep the state until all files are written; None: a kill loses everything.
        code: code fingerprint to record.
        ranks: the processes that share the training, of which the first writes.
    """
    pool = open_pool(pool_path)
    selection = read_selection(selection_path, pool.fingerprint)
    own_seed = derive_seed(seed, "repetition", repetition) if repetition else seed
    initial = derive_seed(own_seed, "initial weights")
    network = build_model(architecture, pool.image_shape, len(pool.class_names), initial)
    validation = read_split(dataset, "validation") if has_split(dataset, "validation") else None
    data = TrainingRows(pool.images, pool.labels, pool.source, selection.rows, selection.epsilons, pool.image_shape)
    resolved: dict[str, Any] = {
        "run": name,
        "seed": seed,
        "architecture": architecture.model_dump(),
        "training": settings.model_dump(),
        "threat": threat.model_dump(),
        "track": tracked.model_dump(),
        "repetition": repetition,
        **({} if online is None else {"epsilon": online.model_dump()}),
    }
    inputs = {"pool": pool.fingerprint, "selection": selection.fingerprint}
    measured = split_fingerprint(dataset, "validation") if validation is not None else "none"
    facts = {**resolved, "inputs": {**inputs, "validation": measured}, "device": device, "code": dict(code or {})}
    kept = StateFile(state, state_key(**facts), ranks)
    with enough_memory(device, _ADVICE):
        result = train_on_rows(
            network,
            data,
            settings,
            threat,
            track=tracked,
            seed=own_seed,
            validation=validation,
            device=device,
            description=f"{name}/{seed}",
            online=online,
            state=kept,
            ranks=ranks,
        )
    if not ranks.is_first:
        return
    save_trained(
        result.model,
        model,
        architecture,
        pool.image_shape,
        pool.class_names,
        settings=resolved,
        inputs=inputs,
        code=code,
    )
    write_table(history, result.history.to_csv(index=False, lineterminator="\n"))
    write_track(result.track, track, pool.fingerprint, settings=resolved, inputs=inputs, code=code)
    write_text(run, yaml.safe_dump({**resolved, "inputs": inputs}, sort_keys=False))
    kept.remove()
