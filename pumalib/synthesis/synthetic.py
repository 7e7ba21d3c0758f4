"""Synthetic sets: generated, published or held-out images that join the train rows in a pool."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumalib.data.datasets import read_class_names
from pumalib.data.image_groups import bytes_of, write_images
from pumalib.data.images import LabelledImages
from pumalib.data.settings import SyntheticSettings
from pumalib.files.artifacts import create_artifact, expect_room
from pumalib.files.origin import NOBODY, Input, Maker
from pumalib.models.settings import ArchitectureSettings
from pumalib.randomness import numpy_generator
from pumalib.synthesis.label_noise import with_wrong_labels
from pumalib.synthesis.settings import EdmSettings, synthetic_module


@dataclass(frozen=True)
class SyntheticImages(LabelledImages):
    """Synthetic images, and what else is known of each.

    Attributes:
        columns: by name, [M] each; stored beside the labels.
    """

    columns: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class SyntheticInputs:
    """What a method may draw from.

    Attributes:
        dataset: the dataset file of the pool.
        generator: the generator's weights, where the method samples from one.
        generator_settings: how to sample from it.
        seed: seed of the study.
        device: torch device to sample on.
        watched: content digests of the user's files, by path as the study names them.
        model: weights of the model that guides the sampling, where one does.
        architecture: of that model; None: as the weights say, unless they name a user's own code.
    """

    dataset: Path
    generator: Path | None
    generator_settings: EdmSettings | None
    seed: int
    device: str
    watched: Mapping[str, str] = field(default_factory=dict)
    model: Path | None = None
    architecture: ArchitectureSettings | None = None


def make_synthetic(settings: SyntheticSettings, inputs: SyntheticInputs, output: Path, maker: Maker = NOBODY) -> None:
    """Make a synthetic set and store it.

    Args:
        settings: which method, and its settings.
        inputs: what the method may draw from.
        output: the HDF5 file to write.
        maker: the job.
    """
    make: Callable[[SyntheticSettings, SyntheticInputs], tuple[LabelledImages, dict[str, Input]]]
    make = importlib.import_module(synthetic_module(settings.method)).make
    images, made_from = make(settings, inputs)
    origin = maker.origin(settings.model_dump(), made_from)
    expect_room(output, bytes_of(images.images), "the images")
    with create_artifact(output, "synthetic", origin) as file:
        file.attrs["seed"] = inputs.seed
        write_images(file, replace(images, labels=_given_labels(settings, inputs, images.labels)))
        if settings.label_noise:
            file.create_dataset("true_labels", data=images.labels.astype(np.int64))
        for name, column in getattr(images, "columns", {}).items():
            file.create_dataset(name, data=column)


def _given_labels(settings: SyntheticSettings, inputs: SyntheticInputs, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    if not settings.label_noise:
        return labels
    generator = numpy_generator(inputs.seed, "label noise")
    return with_wrong_labels(labels, settings.label_noise, len(read_class_names(inputs.dataset)), generator)
