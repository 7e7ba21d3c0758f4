"""The training stage: a pool and a selection in; weights, history, track and resolved settings out."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from pumalib.data.datasets import has_split, read_split, split_fingerprint
from pumalib.data.images import LabelledImages
from pumalib.data.pool import Pool, open_pool
from pumalib.data.selection import StoredSelection, read_selection
from pumalib.files.artifacts import write_text
from pumalib.files.origin import NOBODY, Input, Maker, Origin
from pumalib.files.tables import write_table
from pumalib.jobs.devices import enough_memory
from pumalib.jobs.kept import KeptResult
from pumalib.jobs.states import StateFile, state_key
from pumalib.models.build import build_model
from pumalib.models.trained import save_trained
from pumalib.randomness import derive_seed
from pumalib.ranks import ALONE, Ranks
from pumalib.tracks.file import write_track
from pumalib.training.length import of_pool
from pumalib.training.recipe import Execution, Recipe
from pumalib.training.rows import TrainingRows
from pumalib.training.start_settings import STARTING_WEIGHTS_MODULE
from pumalib.training.task import TrainingTask
from pumalib.training.train import TrainingResult, train_on_rows

_ADVICE = "lower device_images_gib (the same result), track.batch_size or batch_size (another result) of the training"


def train_run(task: TrainingTask, device: str, maker: Maker = NOBODY, ranks: Ranks = ALONE) -> None:
    """Train one run of one seed and store its weights (averaged), its history, its track and its settings.

    Args:
        task: what to train on what, and where the files are.
        device: torch device.
        maker: the job.
        ranks: the processes that share the training, of which the first writes.
    """
    pool = open_pool(task.paths.pool)
    selection = read_selection(task.paths.selection, pool.fingerprint)
    task = _with_length(task, len(pool))
    origin = maker.origin(_resolved(task), _inputs(task, pool, selection))
    asked = {"keep_every": task.settings.training.keep_every}
    facts = {**origin.settings, **asked, "device": device, "code": dict(maker.code)}
    key = state_key(**facts, inputs=origin.inputs_seen_from(task.paths.model))
    state_file, kept = StateFile(task.state_place, key, ranks), KeptResult(task.state_place, key, task.paths.outputs)
    (is_kept,) = ranks.any(ranks.is_first and kept.take_back())
    if is_kept:
        return
    with enough_memory(device, _ADVICE):
        result = _train(task, pool, selection, Execution(device, ranks, state_file, f"{task.name}/{task.seed}"))
    if ranks.is_first:
        _store(result, task, pool, origin)
        kept.keep()
        state_file.remove()


def _with_length(task: TrainingTask, num_rows: int) -> TrainingTask:
    training = of_pool(task.settings.training, num_rows)
    return replace(task, settings=task.settings.model_copy(update={"training": training}))


def _resolved(task: TrainingTask) -> dict[str, Any]:
    """Return the settings that made the model; which epochs are kept beside it changes none of its bytes."""
    settings = task.settings.model_dump(exclude_none=True, exclude={"training": {"keep_every"}})
    return {"run": task.name, "seed": task.seed, **settings}


def _inputs(task: TrainingTask, pool: Pool, selection: StoredSelection) -> dict[str, Input]:
    inputs = {
        "selection": Input(task.paths.selection, selection.fingerprint),
        "pool": Input(task.paths.pool, pool.fingerprint),
    }
    if has_split(task.paths.dataset, "validation"):
        fingerprint = split_fingerprint(task.paths.dataset, "validation")
        inputs["dataset"] = Input(task.paths.dataset, fingerprint, "validation")
    if task.settings.start_from is not None:
        inputs |= importlib.import_module(STARTING_WEIGHTS_MODULE).input_of(task.settings.start_from, task.paths.start)
    return inputs


def _train(task: TrainingTask, pool: Pool, selection: StoredSelection, where: Execution) -> TrainingResult:
    settings = task.settings
    seed = derive_seed(task.seed, "repetition", settings.repetition) if settings.repetition else task.seed
    initial = derive_seed(seed, "initial weights")
    network = build_model(settings.architecture, pool.image_shape, len(pool.class_names), initial)
    if settings.start_from is not None:
        load_start = importlib.import_module(STARTING_WEIGHTS_MODULE).load_start
        start = (settings.start_from, task.paths.start, settings.architecture)
        load_start(network, *start, pool.image_shape, pool.class_names)
    labels = pool.labels
    if selection.labels is not None:
        labels = labels.copy()
        labels[selection.rows] = selection.labels
    chosen = (selection.rows, selection.epsilons, pool.image_shape, selection.attack_steps)
    data = TrainingRows(pool.images, labels, pool.source, *chosen)
    goes_on = settings.start_from is not None
    recipe = Recipe(settings.training, settings.threat, settings.track, settings.epsilon, seed, goes_on)
    return train_on_rows(network, data, recipe, _validation(task.paths.dataset), where)


def _validation(dataset: Path) -> LabelledImages | None:
    return read_split(dataset, "validation") if has_split(dataset, "validation") else None


def _store(result: TrainingResult, task: TrainingTask, pool: Pool, origin: Origin) -> None:
    architecture, paths = task.settings.architecture, task.paths
    about = (architecture, pool.image_shape, pool.class_names, origin)
    save_trained(result.model, paths.model, *about, result.epoch)
    for path, (epoch, weights) in zip(paths.kept, result.kept.items(), strict=True):
        save_trained(weights, path, *about, epoch)
    write_table(paths.history, result.history.to_csv(index=False, lineterminator="\n"))
    write_track(result.track, paths.track, pool.fingerprint, origin)
    settings = task.settings.model_dump(exclude_none=True)
    measured_on = {"split": result.measured_on.split, "rows": result.measured_on.rows.tolist()}
    described = {**origin.settings, **settings, "inputs": origin.fingerprints, "history_images": measured_on}
    write_text(paths.settings, yaml.safe_dump(described, sort_keys=False))
