"""The learning stage: a pool in; other images for its rows, with the same labels and sources, out."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pumalib.artifacts import content_fingerprint, create_artifact, file_fingerprint, to_json
from pumalib.attacks.settings import ThreatSettings
from pumalib.data.datasets import has_split, read_split, split_fingerprint, write_images
from pumalib.data.images import LabelledImages
from pumalib.data.pool import open_pool
from pumalib.learning.inputs import LearningInputs, OnStep, ignore_step
from pumalib.learning.settings import NOT_THE_RESULT, LearnedSettings, learning_module
from pumalib.learning.state import StateFile
from pumalib.provenance import library_versions


def learn_dataset(
    settings: LearnedSettings,
    threat: ThreatSettings,
    *,
    seed: int,
    pool: Path,
    dataset: Path,
    model: Path | None,
    output: Path,
    state: Path,
    progress: Path,
    device: str,
    code: Mapping[str, str] | None = None,
    on_step: OnStep = ignore_step,
) -> None:
    """Learn the images of a pool and store them; go on from the state of a killed job where there is one.

    Args:
        settings: which method, and its settings.
        threat: norm and epsilon.
        seed: of the study.
        pool: the pool file to start from.
        dataset: dataset file of that pool, for its validation rows.
        model: weights of a robust model, where the method looks through one.
        output: HDF5 file to write.
        state: where to keep the state until the images are stored.
        progress: CSV of the progress to write.
        device: torch device.
        code: code fingerprint to record.
        on_step: called after each step, see `inputs.OnStep`.
    """
    start = open_pool(pool)
    inputs = {"pool": start.fingerprint} | ({} if model is None else {"model": file_fingerprint(model)})
    measured = split_fingerprint(dataset, "validation") if has_split(dataset, "validation") else "none"
    kept = StateFile(state, _state_key(settings, threat, seed, device, {**inputs, "validation": measured}, code))
    learn: Callable[[LearnedSettings, LearningInputs, OnStep], NDArray[np.uint8]]
    learn = importlib.import_module(learning_module(settings.method)).learn
    images = learn(
        settings,
        LearningInputs(
            images=start.images[:],
            labels=start.labels,
            num_classes=len(start.class_names),
            threat=threat,
            seed=seed,
            device=device,
            validation=None if measured == "none" else read_split(dataset, "validation"),
            model=model,
            state=kept,
            progress=progress,
        ),
        on_step,
    )
    described: dict[str, Any] = {"learned": settings.model_dump(), "threat": threat.model_dump(), "seed": seed}
    with create_artifact(output, "learned", settings=described, inputs=inputs, code=code) as file:
        file.attrs["class_names"] = list(start.class_names)
        write_images(file, LabelledImages(images, start.labels))
        file.create_dataset("source", data=start.source)
    kept.remove()


def _state_key(
    settings: LearnedSettings,
    threat: ThreatSettings,
    seed: int,
    device: str,
    inputs: Mapping[str, str],
    code: Mapping[str, str] | None,
) -> str:
    """Return a fingerprint of everything that the numbers of a learning depend on."""
    return content_fingerprint(
        to_json(
            {
                "settings": settings.model_dump(exclude=set(NOT_THE_RESULT)),
                "threat": threat.model_dump(),
                "seed": seed,
                "device": device,
                "threads": torch.get_num_threads(),
                "inputs": dict(inputs),
                "code": dict(code or {}),
                "library_versions": library_versions(),
            }
        )
    )
