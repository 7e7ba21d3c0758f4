"""Samples of a generator of the study."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pumalib.data.datasets import read_class_names
from pumalib.data.guidance_settings import GuidanceSettings
from pumalib.data.settings import AskedMarginSettings, GeneratedSyntheticSettings
from pumalib.errors import DataError
from pumalib.files.origin import Input
from pumalib.jobs.devices import enough_memory
from pumalib.randomness import derive_seed
from pumalib.synthesis.edm import Denoiser
from pumalib.synthesis.generator import advance, load_generator
from pumalib.synthesis.margins import draw_margins, quantiles_of
from pumalib.synthesis.sampling import Guide, balanced_labels, sample_images
from pumalib.synthesis.settings import GUIDED_MODULE
from pumalib.synthesis.synthetic import SyntheticImages, SyntheticInputs


def make(settings: GeneratedSyntheticSettings, inputs: SyntheticInputs) -> tuple[SyntheticImages, dict[str, Input]]:
    """Sample images with classes in equal numbers, one seed per sample, with the margins and the guide asked for."""
    if inputs.generator is None or inputs.generator_settings is None:
        raise ValueError("expected the weights and settings of a generator, got None")
    edm = inputs.generator_settings
    denoiser, fingerprint = load_generator(inputs.generator, edm, inputs.dataset, inputs.device)
    labels = balanced_labels(settings.count, len(read_class_names(inputs.dataset))).astype(np.int64)
    seed = derive_seed(inputs.seed, "samples")
    asked = _Asked() if settings.margin is None else _ask(settings.margin, denoiser, seed, len(labels))
    guide, made_from = (None, {}) if settings.guidance is None else _guide(settings.guidance, denoiser, inputs)
    with (
        enough_memory(inputs.device, "lower sampling_batch_size of the generator"),
        tqdm(total=settings.count, desc=f"sampling {settings.generator}", unit="image", disable=None) as bar,
    ):
        images = sample_images(
            denoiser,
            labels,
            edm,
            seed,
            quantiles=asked.quantiles,
            weight=asked.weight,
            guide=guide,
            device=inputs.device,
            on_batch=lambda count: advance(bar, count),
        )
    made_from["generator"] = Input(inputs.generator, fingerprint)
    return SyntheticImages(images, labels, columns=asked.columns), made_from


def _guide(
    settings: GuidanceSettings, denoiser: Denoiser, inputs: SyntheticInputs
) -> tuple[Guide | None, dict[str, Input]]:
    if inputs.model is None:
        raise DataError("expected the weights of a model to guide the sampling, got none; name a run under guidance")
    shape, classes = denoiser.image_shape, denoiser.num_classes
    load = importlib.import_module(GUIDED_MODULE).load_guide  # by name: what is not guided does not depend on it
    guide, model = load(
        settings, inputs.model, inputs.architecture, image_shape=shape, num_classes=classes, device=inputs.device
    )
    return guide, {"model": model}


@dataclass(frozen=True)
class _Asked:
    """What is asked of each sample: nothing, or the quantile of a margin."""

    quantiles: NDArray[np.float32] | None = None
    weight: float = 1.0
    columns: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def _ask(settings: AskedMarginSettings, denoiser: Denoiser, seed: int, count: int) -> _Asked:
    if denoiser.margins is None:
        raise DataError("expected a generator that was trained with margin, to ask for margins, got one without it")
    table = denoiser.margins.cpu().numpy()
    margins = draw_margins(settings, table, derive_seed(seed, "asked margins"), np.arange(count))
    return _Asked(quantiles_of(margins, table), settings.weight, {"asked_margin": margins})
