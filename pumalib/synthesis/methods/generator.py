"""Samples of a generator of the study."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from pumalib.data.datasets import read_class_names
from pumalib.data.images import LabelledImages
from pumalib.data.settings import GeneratedSyntheticSettings
from pumalib.files.origin import Input
from pumalib.jobs.devices import enough_memory
from pumalib.randomness import derive_seed
from pumalib.synthesis.edm import balanced_labels, sample_images
from pumalib.synthesis.generator import advance, load_generator
from pumalib.synthesis.synthetic import SyntheticInputs


def make(settings: GeneratedSyntheticSettings, inputs: SyntheticInputs) -> tuple[LabelledImages, dict[str, Input]]:
    """Sample images with classes in equal numbers, one seed a sample."""
    if inputs.generator is None or inputs.generator_settings is None:
        raise ValueError("expected the weights and settings of a generator, got None")
    edm = inputs.generator_settings
    denoiser, fingerprint = load_generator(inputs.generator, edm, inputs.dataset, inputs.device)
    labels = balanced_labels(settings.count, len(read_class_names(inputs.dataset))).astype(np.int64)
    with (
        enough_memory(inputs.device, "lower sampling_batch_size of the generator"),
        tqdm(total=settings.count, desc=f"sampling {settings.generator}", unit="image", disable=None) as bar,
    ):
        images = sample_images(
            denoiser,
            labels,
            edm,
            derive_seed(inputs.seed, "samples"),
            device=inputs.device,
            on_batch=lambda count: advance(bar, count),
        )
    return LabelledImages(images, labels), {"generator": Input(inputs.generator, fingerprint)}
