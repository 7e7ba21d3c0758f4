"""The evaluation stage: a model and a dataset in, an attack table out."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import torch

from pumalib.attacks.settings import NOT_THE_ATTACK, AttackSettings, attack_packages
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.datasets import read_class_names, read_split, split_fingerprint
from pumalib.evaluation.evaluate import evaluate
from pumalib.files.artifacts import create_artifact
from pumalib.files.origin import NOBODY, Input, Maker
from pumalib.files.provenance import library_versions
from pumalib.jobs.devices import enough_memory
from pumalib.jobs.kept import KeptResult
from pumalib.jobs.states import StatePlace, state_key
from pumalib.models.inputs import to_model_input
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
    state_place: StatePlace | None = None,
    maker: Maker = NOBODY,
) -> None:
    """Attack one model on one split and store one row an image.

    Args:
        settings: the attack, the split, and how many of its images.
        threat: norm and epsilon unless the attack says otherwise.
        dataset: dataset file.
        model_path: weights.
        output: the HDF5 file to write.
        seed: of the random starts.
        device: torch device.
        state_place: beside which the table is kept for a run from the same settings, inputs and code; None: it is not.
        maker: the job.
    """
    trained = load_trained(model_path, device)
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
    kept = KeptResult(state_place, state_key(**facts, packages=library_versions(*packages)), [output])
    if kept.take_back():
        return
    images = to_model_input(torch.from_numpy(split.images[: settings.num_images]))
    labels = torch.from_numpy(split.labels[: settings.num_images])
    with enough_memory(device, "lower batch_size of the attack"):
        table = evaluate(trained.model, images, labels, settings, threat=threat, seed=seed)
    with create_artifact(output, "attack", origin, packages) as file:
        file.attrs["method"] = settings.method
        file.attrs["split"] = settings.split
        for column in fields(table):
            file.create_dataset(column.name, data=getattr(table, column.name))
    kept.keep()
