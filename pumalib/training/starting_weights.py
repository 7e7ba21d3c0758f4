"""The weights that a training starts from: those of another run, or of a checkpoint."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from pumalib.errors import ArtifactError
from pumalib.files.artifacts import file_fingerprint
from pumalib.files.origin import Input
from pumalib.models.checkpoint import misfit
from pumalib.models.imported import load_checkpoint
from pumalib.models.settings import ArchitectureSettings, ImageShape
from pumalib.models.trained import TrainedModel, expect_images, load_trained
from pumalib.training.start_settings import StartSettings


def load_start(
    network: nn.Module,
    start: StartSettings,
    path: Path,
    architecture: ArchitectureSettings,
    image_shape: ImageShape,
    class_names: tuple[str, ...],
) -> None:
    """Fill a new network with the weights, and the running statistics, that its training starts from.

    Args:
        network: of this architecture, on the CPU.
        start: which weights.
        path: of their file.
        architecture: of the run.
        image_shape: (height, width, channels) of its images.
        class_names: of its pool, in label order.

    Raises:
        ArtifactError: no such weights, or those of another network.
        DataError: weights of a run on other images.
        ConfigError: settings that contradict a checkpoint.
    """
    if start.checkpoint is None:
        trained: TrainedModel = load_trained(path, "cpu", architecture)
        expect_images(trained, image_shape, len(class_names), "the pool of the run that starts from it")
        found = trained.model.state_dict()
    else:
        found = load_checkpoint(path, architecture, image_shape, len(class_names), start.weights).state_dict()
    wrong = misfit(network.state_dict(), found)
    if wrong:
        raise ArtifactError(
            f"{path} does not fit the network of the run: {wrong}; give mean and std of the file under architecture"
        )
    network.load_state_dict(found)


def input_of(start: StartSettings, path: Path) -> dict[str, Input]:
    """Return what the training records of the file, by its role."""
    return {"model" if start.checkpoint is None else "checkpoint": Input(path, file_fingerprint(path))}
