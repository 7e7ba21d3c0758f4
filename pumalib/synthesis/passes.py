"""How many images go through networks to make generated rows: while a generator is trained, and while it samples."""

from __future__ import annotations

import math

from pumalib.data.settings import GeneratedSyntheticSettings
from pumalib.synthesis.settings import EdmSettings


def generator_passes(settings: EdmSettings) -> tuple[int, int]:
    """Return the images that go forward and backward while a generator is trained."""
    images = settings.steps * settings.batch_size
    return images, images


def sampling_passes(settings: EdmSettings, synthetic: GeneratedSyntheticSettings) -> tuple[int, int]:
    """Return the images that go forward and backward, through the generator and a model that guides it.

    Samples that fill up the last batch are counted as well.
    """
    sampled = math.ceil(synthetic.count / settings.sampling_batch_size) * settings.sampling_batch_size
    estimates = sampled * (2 * settings.sampling_steps - 1)  # Heun's method: two a noise level, one at the last
    forwards, backwards = _passes_of_an_estimate(synthetic)
    return estimates * forwards, estimates * backwards


def _passes_of_an_estimate(synthetic: GeneratedSyntheticSettings) -> tuple[int, int]:
    """Return the passes for one estimate of the clean image of a sample."""
    forwards = 1 if synthetic.margin is None or synthetic.margin.weight in (0, 1) else 2
    return (forwards, 0) if synthetic.guidance is None else (forwards + 1, forwards + 1)
