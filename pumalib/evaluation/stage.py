"""The evaluation stage: a model and a dataset in, an attack table out."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from pumalib.attacks.inputs import check_stored_inputs, images_a_batch
from pumalib.attacks.settings import NOT_THE_ATTACK, WITHOUT_GRADIENTS, AttackSettings, attack_module, attack_packages
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.datasets import read_class_names, read_split, split_fingerprint
from pumalib.data.images import LabelledImages, subset_rows
from pumalib.evaluation.evaluate import Block, EvaluationTable, evaluate_blocks, join_blocks, make_ball
from pumalib.files.artifacts import create_artifact
from pumalib.files.origin import NOBODY, Input, Maker
from pumalib.files.provenance import library_versions
from pumalib.jobs.devices import enough_memory
from pumalib.jobs.kept import KeptResult
from pumalib.jobs.memory import expect_memory
from pumalib.jobs.states import StateFile, StatePlace, at_least_every, state_key
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.size import size_of
from pumalib.models.trained import expect_images, load_trained


def attack_model(
    settings: AttackSettings,
    threat: ThreatSettings,
    *,
    dataset: Path,
    model_path: Path,
    output: Path,
    seed: int,
    device: str,
    architecture: ArchitectureSettings | None = None,
    state_place: StatePlace | None = None,
    maker: Maker = NOBODY,
) -> None:
    """Attack one model on one split and store one row per image; go on from the state of a killed job if there is one.

    Args:
        settings: the attack, the split, and how many of its images.
        threat: norm and epsilon unless the attack says otherwise.
        dataset: dataset file.
        model_path: weights.
        output: the HDF5 file to write.
        seed: of the random starts.
        device: torch device.
        architecture: that the model must be of; None: as the weights say, unless they name a user's own code.
        state_place: where to keep the state, saved each minute at least, and the table for a run from the same
            settings, inputs and code; None: nowhere.
        maker: the job.
    """
    trained = load_trained(model_path, device, architecture)
    split = read_split(dataset, settings.split)
    expect_images(trained, split.images.shape[1:], len(read_class_names(dataset)), dataset)
    inputs = {
        "model": Input(model_path, trained.fingerprint),
        "selection of model": Input(None, trained.selection),
        "dataset": Input(dataset, split_fingerprint(dataset, settings.split), settings.split),
    }
    resolved = {**settings.model_dump(exclude=set(NOT_THE_ATTACK)), "threat": threat.model_dump(), "seed": seed}
    origin, packages = maker.origin(resolved, inputs), attack_packages(settings.method)
    facts = {
        "settings": resolved,
        "inputs": origin.inputs_seen_from(output),
        "device": device,
        "code": dict(maker.code),
    }
    key = state_key(**facts, packages=library_versions(*packages))
    state_file, kept = StateFile(at_least_every(state_place, 60), key), KeptResult(state_place, key, [output])
    if kept.take_back():
        return
    rows = subset_rows(split.labels, settings.num_images, "attacked")
    size, advice = images_a_batch(settings.batch_size, trained.image_shape), "lower batch_size of the attack"
    with enough_memory(device, advice):
        if settings.method not in WITHOUT_GRADIENTS:  # which keep what layers give
            needed = size_of(trained.model, trained.image_shape).of_attack(min(size, len(rows)))
            expect_memory(device, needed, (size, trained.image_shape), advice)
        table = _attack(trained.model, split.take(rows), rows, settings, threat, seed, state_file)
    with create_artifact(output, "attack", origin, packages) as file:
        file.attrs["method"] = settings.method
        file.attrs["split"] = settings.split
        file.attrs.update(_variant(settings.method, len(trained.class_names)))
        file.create_dataset("row", data=rows)
        for name, column in _stored(table).items():
            file.create_dataset(name, data=column)
    kept.keep()
    state_file.remove()


def _variant(method: str, num_classes: int) -> dict[str, str]:
    """Name what an attack is on a network of so many classes, where that depends on them."""
    name = getattr(importlib.import_module(attack_module(method)), "variant", None)
    return {} if name is None else {"variant": name(num_classes)}


def _stored(table: EvaluationTable) -> dict[str, NDArray[Any]]:
    """Return the columns of a table as files hold them: points, where they are kept, with the channels last."""
    columns = {column.name: getattr(table, column.name) for column in fields(table) if column.name != "points"}
    return columns if table.points is None else {**columns, "points": np.moveaxis(table.points, 1, -1)}


def _attack(
    model: nn.Module,
    images: LabelledImages,
    rows: NDArray[np.int64],
    settings: AttackSettings,
    threat: ThreatSettings,
    seed: int,
    state_file: StateFile,
) -> EvaluationTable:
    """Attack a model, from the state of a killed job where there is one."""
    saved = state_file.load() or {"blocks": []}
    with state_file.putting_back():
        blocks: list[Block] = [tuple(column.numpy() for column in block) for block in saved["blocks"]]
        done = _rows_done(blocks, len(rows))
    needs_gradient = settings.method not in WITHOUT_GRADIENTS
    network, pixels, labels = check_stored_inputs(model, images.images, images.labels, needs_gradient)
    ball = make_ball(settings, threat, (0.0, 1.0))

    def state_dict() -> dict[str, Any]:
        return {"blocks": [[torch.from_numpy(column) for column in block] for block in blocks]}

    for block in evaluate_blocks(network, (pixels, labels, rows), settings, ball, seed, done):
        blocks.append(block)
        state_file.offer(state_dict)
    return join_blocks(blocks)


def _rows_done(blocks: Sequence[Block], num_rows: int) -> int:
    """Return how many rows a saved state has; a ValueError if it cannot be one of this attack."""
    lengths = {sum(len(column) for column in columns) for columns in zip(*blocks, strict=True)} or {0}
    if len(lengths) > 1 or max(lengths) > num_rows:
        raise ValueError(f"expected as many values of each column, {num_rows} at most, got {sorted(lengths)}")
    return lengths.pop()
