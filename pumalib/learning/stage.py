"""The learning stage: a pool in; other images for its rows, with the same labels and sources, out."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.datasets import has_split, read_split, split_fingerprint
from pumalib.data.image_groups import write_images
from pumalib.data.images import LabelledImages
from pumalib.data.pool import open_pool
from pumalib.files.artifacts import create_artifact, file_fingerprint
from pumalib.files.origin import NOBODY, Input, Maker
from pumalib.jobs.devices import enough_memory
from pumalib.jobs.kept import KeptResult
from pumalib.jobs.states import StateFile, StatePlace, state_key
from pumalib.learning.inputs import LearningInputs, OnStep, ignore_step
from pumalib.learning.settings import LearnedSettings, learning_module
from pumalib.models.settings import ArchitectureSettings

_ADVICE = {
    "tri_level": (
        "set recompute_steps, or lower batch_size, attack_batch_size or unrolled_steps (another result) of the pool"
    ),
    "robust_features": "lower batch_size of the pool (the same result)",
}
"""What to do where memory ends, by method."""


@dataclass(frozen=True)
class LearningPaths:
    """The files of one learned pool.

    Attributes:
        pool: the pool file to start from.
        dataset: dataset file of that pool, for its validation rows.
        output: HDF5 file to write.
        progress: CSV of the progress to write.
        model: weights of a robust model, where the method looks through one.
        architecture: of that model; None: as the weights say, unless they name a user's own code.
    """

    pool: Path
    dataset: Path
    output: Path
    progress: Path
    model: Path | None = None
    architecture: ArchitectureSettings | None = None


def learn_dataset(
    settings: LearnedSettings,
    threat: ThreatSettings,
    paths: LearningPaths,
    *,
    seed: int,
    state_place: StatePlace,
    device: str,
    maker: Maker = NOBODY,
    on_step: OnStep = ignore_step,
) -> None:
    """Learn the images of a pool and store them; go on from the state of a killed job where there is one.

    Args:
        settings: which method, and its settings.
        threat: norm and epsilon.
        paths: files in and out.
        seed: of the study.
        state_place: where to keep the state until the images are stored.
        device: torch device.
        maker: the job.
        on_step: called after each step, see `inputs.OnStep`.
    """
    start = open_pool(paths.pool)
    inputs = {"pool": Input(paths.pool, start.fingerprint)}
    if paths.model is not None:
        inputs["model"] = Input(paths.model, file_fingerprint(paths.model))
    if has_split(paths.dataset, "validation"):
        inputs["dataset"] = Input(paths.dataset, split_fingerprint(paths.dataset, "validation"), "validation")
    described: dict[str, Any] = {"learned": settings.model_dump(), "threat": threat.model_dump(), "seed": seed}
    origin = maker.origin(described, inputs)
    seen = origin.inputs_seen_from(paths.output)
    key = state_key(**described, device=device, inputs=seen, code=dict(maker.code))
    state_file, kept = StateFile(state_place, key), KeptResult(state_place, key, [paths.output])
    if kept.take_back():
        return
    learn: Callable[[LearnedSettings, LearningInputs, OnStep], NDArray[np.uint8]]
    learn = importlib.import_module(learning_module(settings.method)).learn
    with enough_memory(device, _ADVICE[settings.method]):
        images = learn(
            settings,
            LearningInputs(
                images=start.images[:],
                labels=start.labels,
                num_classes=len(start.class_names),
                threat=threat,
                seed=seed,
                device=device,
                validation=read_split(paths.dataset, "validation") if "dataset" in inputs else None,
                model_path=paths.model,
                architecture=paths.architecture,
                state_file=state_file,
                progress=paths.progress,
            ),
            on_step,
        )
    with create_artifact(paths.output, "learned", origin) as file:
        file.attrs["class_names"] = list(start.class_names)
        write_images(file, LabelledImages(images, start.labels))
        file.create_dataset("source", data=start.source)
    kept.keep()
    state_file.remove()
