"""Trained models on disk: weights with all that is needed to build the network again."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from torch import Tensor, nn

from pumalib.errors import ArtifactError, DataError
from pumalib.files.artifacts import file_fingerprint
from pumalib.files.origin import NO_ORIGIN, Origin, fingerprint_in
from pumalib.models.build import build_model, outline
from pumalib.models.checkpoint import expect_tensors, load_weights, read_described, write_weights
from pumalib.models.settings import ArchitectureSettings, architecture_origin
from pumalib.setting_errors import describe

_LONGEST_SIDE = 1 << 16
"""Pixels of an image's longest side; no network of images takes more. A choice of ours."""


@dataclass(frozen=True)
class TrainedModel:
    """A network that a study trained, with what its file says of it.

    Attributes:
        model: in eval mode, on the device asked for.
        image_shape: (height, width, channels) of the images it was trained on.
        class_names: names in label order.
        fingerprint: hash of the weight file.
        selection: fingerprint of the selection it was trained on; "": it was trained elsewhere.
        epoch: after which it has these weights, counted from 1; None: the file does not say.
    """

    model: nn.Module
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    fingerprint: str
    selection: str = ""
    epoch: int | None = None


def save_trained(
    model: nn.Module | Mapping[str, Tensor],
    output: Path,
    architecture: ArchitectureSettings,
    image_shape: tuple[int, int, int],
    class_names: tuple[str, ...],
    origin: Origin = NO_ORIGIN,
    epoch: int | None = None,
) -> None:
    """Store weights, or a state dict of them, with their architecture, image shape, classes, origin and epoch."""
    described = {
        "architecture": architecture.model_dump(),
        "image_shape": list(image_shape),
        "class_names": list(class_names),
        **({} if epoch is None else {"epoch": epoch}),
    }
    write_weights(model, output, "model", origin, described)


def load_trained(path: str | Path, device: str, architecture: ArchitectureSettings | None = None) -> TrainedModel:
    """Load a network that a study trained, in eval mode.

    Args:
        path: of the weights: `models/<run>/seed<k>/model.safetensors` of a study.
        device: a torch device, such as `cpu` or `cuda`.
        architecture: that the network must be of. Needed for a class of your own: weights never say which code runs.

    Returns:
        The network, which maps float32 images [B, C, H, W] in [0, 1] to logits, and what the file says of it.

    Raises:
        ArtifactError: missing, damaged, not a model of this library's form, or of another architecture.

    Example:
        >>> trained = load_trained("results/digits/models/puma-20/seed0/model.safetensors", "cpu")
        >>> trained.image_shape, len(trained.class_names), trained.model.training
        ((8, 8, 1), 10, False)
    """
    metadata = read_described(path, "model")
    try:
        height, width, channels = map(_read_side, metadata["image_shape"])
        class_names = tuple(map(str, metadata["class_names"]))
        described = ArchitectureSettings.model_validate(metadata["architecture"])
        selection = fingerprint_in(metadata["inputs"], "selection")
        epoch = None if "epoch" not in metadata else operator.index(metadata["epoch"])
    except ValidationError as error:
        problem = describe(error, ArchitectureSettings, ("architecture",), str(path))
        raise ArtifactError(f"{problem}; train the model again") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"expected image_shape, class_names and architecture in {path}, got: {error!r}") from error
    _expect_architecture(described, architecture, path)
    if architecture_origin(described.name) == "built-in":  # before memory is taken for what the file may only declare
        expect_tensors(outline(described, (height, width, channels), len(class_names)), path)
    model = build_model(described, (height, width, channels), len(class_names))
    load_weights(model, path)
    shape, fingerprint = (height, width, channels), file_fingerprint(path)
    return TrainedModel(model.to(device).eval(), shape, class_names, fingerprint, selection, epoch)


def _read_side(value: object) -> int:
    side = operator.index(value)  # type: ignore[arg-type]
    if not 0 < side <= _LONGEST_SIDE:
        raise ValueError(f"an image of {side} pixels")
    return side


def _expect_architecture(
    described: ArchitectureSettings, wanted: ArchitectureSettings | None, path: str | Path
) -> None:
    if wanted is None and architecture_origin(described.name) == "user":
        raise ArtifactError(
            f"expected weights of a network of this library or timm, got {path}, which names {described.name}; "
            "pass that architecture, because weights never say which code runs"
        )
    if wanted is not None and wanted != described:
        raise ArtifactError(
            f"expected weights of architecture {_spelled(wanted)}, as the study says, got those of "
            f"{_spelled(described)} at {path}; train the model again"
        )


def _spelled(architecture: ArchitectureSettings) -> str:
    return ", ".join(f"{key} {value}" for key, value in architecture.model_dump(exclude_defaults=True).items())


def expect_images(trained: TrainedModel, image_shape: tuple[int, ...], num_classes: int, where: str | Path) -> None:
    """Refuse images that the model was not made for.

    Raises:
        DataError: another image shape or number of classes.
    """
    expected = (trained.image_shape, len(trained.class_names))
    if (tuple(image_shape), num_classes) != expected:
        raise DataError(
            f"expected images of shape {expected[0]} in {expected[1]} classes, as the model was trained on, "
            f"got {tuple(image_shape)} in {num_classes} classes in {where}"
        )
