"""Generators on disk: training one, and loading it again to sample from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from pumalib.data.datasets import read_class_names, read_image_shape, read_split, split_fingerprint
from pumalib.data.image_readers import read_all
from pumalib.errors import ArtifactError
from pumalib.files.artifacts import file_fingerprint
from pumalib.files.origin import NOBODY, Input, Maker, fingerprint_in
from pumalib.jobs.devices import enough_memory
from pumalib.jobs.kept import KeptResult
from pumalib.jobs.states import StateFile, StatePlace, state_key
from pumalib.models.checkpoint import load_weights, read_described, write_weights
from pumalib.randomness import derive_seed
from pumalib.synthesis.edm import Denoiser, build_denoiser, train_generator
from pumalib.synthesis.margins import read_margins
from pumalib.synthesis.settings import SAMPLING_KEYS, EdmSettings

_MOST_MARGINS = 1 << 30
"""Train rows of a generator; more fit into no memory. A choice of ours."""


def advance(bar: Any, done: int) -> None:
    """Move a progress bar to a count."""
    bar.update(done - bar.n)


def train_stage(
    settings: EdmSettings,
    dataset: Path,
    output: Path,
    *,
    name: str,
    seed: int,
    device: str,
    score: Path | None = None,
    state_place: StatePlace | None = None,
    maker: Maker = NOBODY,
) -> None:
    """Train a generator on the train split of a dataset and, with `margin`, on its margins; store it.

    Args:
        settings: the generator's settings.
        dataset: dataset file.
        output: weights to write.
        name: of the generator, for the progress bar.
        seed: of the study.
        device: torch device.
        score: table of the margins of the train rows, for settings with `margin`.
        state_place: where to keep the state until the weights are written; None: a kill loses everything.
        maker: the job.
    """
    split = read_split(dataset, "train")
    class_names = read_class_names(dataset)
    trained_with = settings.model_dump(exclude=set(SAMPLING_KEYS))
    inputs = {"dataset": Input(dataset, split_fingerprint(dataset, "train"), "train")}
    margins = None
    if settings.margin is not None and score is not None:
        margins, inputs[f"score {settings.margin.score}"] = read_margins(score, dataset)
    origin = maker.origin(trained_with, inputs)
    facts = {"settings": trained_with, "seed": seed, "inputs": origin.fingerprints, "device": device}
    key = state_key(**facts, code=dict(maker.code))
    state_file, kept = StateFile(state_place, key), KeptResult(state_place, key, [output])
    if kept.take_back():
        return
    total, advice = settings.steps * settings.batch_size, "lower batch_size (another result) of the generator"
    with (
        enough_memory(device, advice),
        tqdm(total=total, desc=f"{name}/{seed}", unit="image", disable=None) as bar,
    ):
        denoiser = train_generator(
            read_all(split.images),
            split.labels,
            len(class_names),
            settings,
            derive_seed(seed, "generator"),
            device,
            on_step=lambda step, loss: advance(bar, step * settings.batch_size),
            state_file=state_file,
            margins=margins,
        )
    described = {"image_shape": list(split.images.shape[1:]), "class_names": list(class_names), "seed": seed}
    described |= {} if denoiser.margins is None else {"num_margins": len(denoiser.margins)}
    write_weights(denoiser, output, "generator", origin, described)
    kept.keep()
    state_file.remove()


def load_generator(path: Path, settings: EdmSettings, dataset: Path, device: str) -> tuple[Denoiser, str]:
    """Load a generator for sampling; refuse one that was trained on other rows than this dataset's train split.

    Returns:
        The denoiser in eval mode, and the fingerprint of its file.

    Raises:
        ArtifactError: missing, damaged, of another kind, or trained on another split, on other images, or without the
            margins that the settings name.
    """
    metadata = read_described(path, "generator")
    if fingerprint_in(metadata["inputs"], "dataset") != split_fingerprint(dataset, "train"):
        raise ArtifactError(
            f"expected a generator trained on the train split of {dataset}, got one trained on other rows at {path}: "
            "it may have seen test images; train it again"
        )
    shape, names = read_image_shape(dataset), list(read_class_names(dataset))
    if (metadata.get("image_shape"), metadata.get("class_names")) != (list(shape), names):
        raise ArtifactError(
            f"expected a generator of images {list(shape)} in {len(names)} classes, as those of {dataset}, "
            f"got another at {path}; train it again"
        )
    denoiser = build_denoiser(settings, shape, len(names), 0, _room_for_margins(metadata.get("num_margins"), path))
    load_weights(denoiser, path)
    return denoiser.to(device).eval().requires_grad_(False), file_fingerprint(path)


def _room_for_margins(count: Any, path: Path) -> torch.Tensor | None:
    """Return a table of as many margins as a weight file says that it holds; None: it says of none."""
    if count is None:
        return None
    if not isinstance(count, int) or not 0 < count <= _MOST_MARGINS:
        raise ArtifactError(
            f"expected num_margins of at least 1 in {path}, got {count!r:.80}; train the generator again"
        )
    return torch.zeros(count)
