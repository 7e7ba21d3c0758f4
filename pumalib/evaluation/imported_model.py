"""A model trained elsewhere, as a model file of this library: what reads it sees no difference."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from pumalib.data.datasets import read_class_names, read_image_shape
from pumalib.errors import ConfigError
from pumalib.files.artifacts import file_fingerprint
from pumalib.files.origin import NOBODY, Input, Maker
from pumalib.models.imported import load_checkpoint
from pumalib.models.imported_settings import ImportedModelSettings
from pumalib.models.layers import Normalized
from pumalib.models.settings import ImageShape
from pumalib.models.trained import save_trained


def load_as_described(settings: ImportedModelSettings, image_shape: ImageShape, num_classes: int) -> nn.Module:
    """Load a checkpoint into exactly the network that its settings describe, in eval mode, on the CPU.

    A model file is read by its architecture alone. So constants that a checkpoint holds must stand there too.

    Args:
        settings: the checkpoint and its network.
        image_shape: (height, width, channels) of the images that it will see.
        num_classes: of these images.

    Raises:
        ArtifactError: no file, a damaged one, or tensors of another network, image shape or number of classes.
        ConfigError: settings that contradict the file, or leave out its mean and std.
    """
    path, architecture = settings.checkpoint, settings.architecture
    model = load_checkpoint(path, architecture, image_shape, num_classes, settings.weights)
    if isinstance(model, Normalized) and architecture.mean is None:
        mean, std = ([round(value, 6) for value in each.flatten().tolist()] for each in (model.mean, model.std))
        raise ConfigError(
            f"expected mean and std of the architecture, as {path} holds them, got none; "
            f"write mean: {mean} and std: {std} under architecture"
        )
    return model


def import_model(
    settings: ImportedModelSettings, dataset: Path, output: Path, *, run: str, maker: Maker = NOBODY
) -> None:
    """Store a checkpoint as a model file, with the image shape and the classes of the images it will see.

    The file says which checkpoint it is from. It names no selection and no pool, because nothing here trained it.

    Args:
        settings: the checkpoint and its network.
        dataset: dataset file of the images.
        output: the weight file to write.
        run: name of the run.
        maker: the job.

    Raises:
        ArtifactError, ConfigError: as `load_as_described`.
    """
    height, width, channels = read_image_shape(dataset, "test")
    class_names = read_class_names(dataset)
    model = load_as_described(settings, (height, width, channels), len(class_names))
    path = Path(settings.checkpoint)
    origin = maker.origin(
        {"run": run, **settings.model_dump(exclude_none=True)}, {"checkpoint": Input(path, file_fingerprint(path))}
    )
    save_trained(model, output, settings.architecture, (height, width, channels), class_names, origin)
