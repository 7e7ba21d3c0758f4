"""Synthetic sets: generated, published or held-out images that join the train rows in a pool."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pumalib.data.datasets import read_class_names, write_images
from pumalib.data.images import LabelledImages
from pumalib.data.settings import SyntheticSettings
from pumalib.files.artifacts import create_artifact
from pumalib.randomness import numpy_generator
from pumalib.synthesis.label_noise import with_wrong_labels
from pumalib.synthesis.settings import EdmSettings


@dataclass(frozen=True)
class SyntheticInputs:
    """What a method may draw from.

    Attributes:
        dataset: the dataset file of the pool.
        generator: the generator's weights, where the method samples from one.
        generator_settings: how to sample from it.
        seed: seed of the study.
        device: torch device to sample on.
    """

    dataset: Path
    generator: Path | None
    generator_settings: EdmSettings | None
    seed: int
    device: str


def method_module(method: str) -> str:
    """Return the module of a method, by convention."""
    return f"pumalib.synthesis.methods.{method}"


def make_synthetic(
    settings: SyntheticSettings, inputs: SyntheticInputs, output: Path, code: Mapping[str, str] | None = None
) -> None:
    """Make a synthetic set and store it.

    Args:
        settings: which method, and its settings.
        inputs: what the method may draw from.
        output: the HDF5 file to write.
        code: code fingerprint to record.
    """
    make: Callable[[SyntheticSettings, SyntheticInputs], tuple[LabelledImages, dict[str, str]]]
    make = importlib.import_module(method_module(settings.method)).make
    images, fingerprints = make(settings, inputs)
    with create_artifact(output, "synthetic", settings=settings.model_dump(), inputs=fingerprints, code=code) as file:
        file.attrs["seed"] = inputs.seed
        write_images(file, LabelledImages(images.images, _given_labels(settings, inputs, images.labels)))
        if settings.label_noise:
            file.create_dataset("true_labels", data=images.labels.astype(np.int64))


def _given_labels(settings: SyntheticSettings, inputs: SyntheticInputs, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    if not settings.label_noise:
        return labels
    generator = numpy_generator(inputs.seed, "label noise")
    return with_wrong_labels(labels, settings.label_noise, len(read_class_names(inputs.dataset)), generator)
