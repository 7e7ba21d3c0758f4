"""Real rows set aside: what a perfect generator would give, to isolate the effect of pool size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pumalib.data.datasets import read_split, split_fingerprint
from pumalib.data.images import LabelledImages, stratified_rows
from pumalib.data.settings import HeldOutSyntheticSettings
from pumalib.errors import DataError
from pumalib.files.origin import Input
from pumalib.randomness import numpy_generator
from pumalib.synthesis.synthetic import SyntheticInputs


def make(settings: HeldOutSyntheticSettings, inputs: SyntheticInputs) -> tuple[LabelledImages, dict[str, Input]]:
    """Take a stratified, seeded subset of the dataset's held-out rows."""
    held_out = read_split(inputs.dataset, "held_out")
    made_from = {"held_out": Input(inputs.dataset, split_fingerprint(inputs.dataset, "held_out"), "held_out")}
    held_out = replace(held_out, files=None)  # they stand for images that a generator made
    if settings.count is None:
        return held_out, made_from
    if settings.count > len(held_out):
        raise DataError(
            f"expected at most {len(held_out)} held-out rows, got count {settings.count}; raise held_out_fraction"
        )
    generator = numpy_generator(settings.subset_seed, "held_out subset")
    rows: np.ndarray[tuple[int], np.dtype[np.int64]] = stratified_rows(held_out.labels, settings.count, generator)
    return held_out.take(rows), made_from
