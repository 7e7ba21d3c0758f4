"""A model trained elsewhere that stands among the runs of a study. Imports no torch."""

from __future__ import annotations

from pumalib.models.settings import ArchitectureSettings, CheckpointWeights
from pumalib.settings import Settings


class ImportedModelSettings(Settings):
    """A checkpoint, and the network that it is loaded into."""

    checkpoint: str
    """Path of the file: safetensors if its name ends so, else a torch file of tensors alone."""
    architecture: ArchitectureSettings
    """The network; with mean and std where its file holds them."""
    weights: CheckpointWeights | None = None
    """Which weights of a checkpoint that holds both `model` and `averaged` ones."""
