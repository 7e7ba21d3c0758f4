"""A published set of generated images."""

from __future__ import annotations

from pathlib import Path

from pumalib.data.images import LabelledImages
from pumalib.data.settings import NpzSyntheticSettings
from pumalib.data.sources.npz import read_npz
from pumalib.files.origin import Input, user_role
from pumalib.synthesis.synthetic import SyntheticInputs


def make(settings: NpzSyntheticSettings, inputs: SyntheticInputs) -> tuple[LabelledImages, dict[str, Input]]:
    """Take a stratified, seeded subset of the file; a prefix of a class-sorted file would be one class."""
    images = read_npz(settings.path, settings.count, settings.subset_seed)
    return images, {user_role(settings.path): Input(Path(settings.path), inputs.watched.get(settings.path, ""))}
