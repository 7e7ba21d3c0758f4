"""Models trained elsewhere: a checkpoint under other names, loaded into the network of this library that equals it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from pumalib.errors import ArtifactError, ConfigError
from pumalib.files.artifacts import file_fingerprint
from pumalib.models.build import build_model
from pumalib.models.checkpoint import misfit
from pumalib.models.layers import Normalized
from pumalib.models.layouts import CONSTANTS, Layout, closest_layout, is_constant, is_counter, layouts_of, unwrapped
from pumalib.models.settings import ArchitectureSettings, CheckpointWeights, ImageShape, check_architecture
from pumalib.models.state_dicts import StateDict, read_state_dict
from pumalib.models.trained import TrainedModel

_SAME_CONSTANT = 1e-4
"""Constants are published with four digits; a choice of ours."""


@dataclass(frozen=True)
class _Contents:
    """What a file holds for a network: weights under their layout's names, and the constants of a normalisation."""

    path: Path
    layout: Layout
    weights: StateDict
    constants: StateDict


def load_checkpoint(
    path: str | Path,
    architecture: ArchitectureSettings | str,
    image_shape: ImageShape,
    num_classes: int,
    weights: CheckpointWeights | None = None,
    device: str | torch.device = "cpu",
) -> nn.Module:
    """Load a network that was trained elsewhere, in eval mode.

    Args:
        path: a safetensors file if its name ends so, else a torch file. Of that, tensors are read and nothing is run.
        architecture: the network; mean and std may be left out where the file holds them.
        image_shape: (height, width, channels) of one image.
        num_classes: number of classes K, in the order of the labels.
        weights: which weights of a file that holds both; None: the only ones it holds.
        device: a torch device, such as `cpu` or `cuda`.

    Returns:
        A network that maps float32 images [B, C, H, W] in [0, 1] to logits [B, K].

    Raises:
        ArtifactError: no file, damaged, more than tensors inside, no state dict, or tensors of another network.
        ConfigError: settings that contradict the file or do not fit the images.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from pumalib import ArchitectureSettings, build_model
        >>> perceptron = build_model(ArchitectureSettings(name="mlp"), (8, 8, 1), 10, seed=1).eval()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     torch.save({"state_dict": torch.nn.DataParallel(perceptron).state_dict()}, f"{folder}/elsewhere.pt")
        ...     model = load_checkpoint(f"{folder}/elsewhere.pt", "mlp", (8, 8, 1), num_classes=10)
        >>> images = torch.rand(2, 1, 8, 8)
        >>> torch.equal(model(images), perceptron(images))
        True
    """
    settings = ArchitectureSettings.model_validate(architecture)
    check_architecture(settings, image_shape, num_classes)
    bare = build_model(settings.model_copy(update={"mean": None, "std": None}), image_shape, num_classes)
    contents = _contents(Path(path), settings, bare.state_dict(), weights)
    constants = _normalisation(contents, settings, image_shape[2])
    _fill(bare, contents, settings)
    model = bare if constants is None else Normalized(bare, *constants)
    return model.to(device).eval()


def load_imported(
    path: Path,
    architecture: ArchitectureSettings,
    image_shape: ImageShape,
    class_names: tuple[str, ...],
    weights: CheckpointWeights | None,
    device: str,
) -> TrainedModel:
    """Load a model that was trained elsewhere, as one of the images and classes it is to look at.

    Raises:
        ArtifactError, ConfigError: as ``load_checkpoint``.
    """
    model = load_checkpoint(path, architecture, image_shape, len(class_names), weights, device)
    return TrainedModel(model, image_shape, class_names, file_fingerprint(path))


def _contents(
    path: Path, settings: ArchitectureSettings, expected: Mapping[str, Tensor], weights: CheckpointWeights | None
) -> _Contents:
    tensors = read_state_dict(path, weights)
    ours = [name for name in expected if not is_counter(name)]
    layouts = layouts_of(settings)
    names = unwrapped(tensors, layouts, ours)
    layout = closest_layout(layouts, ours, [name for name in names if not is_counter(name)])
    left = names.keys() - {layout.theirs(name) for name in expected}
    constants = {name: tensors[names[name]] for name in left if is_constant(name)}
    dropped = {*constants, *(name for name in left if name.startswith(layout.unused))}
    kept = {name: tensors[whole] for name, whole in names.items() if name not in dropped}
    return _Contents(path, layout, kept, _by_kind(constants, path))


def _by_kind(constants: StateDict, path: Path) -> StateDict:
    """Name constants mean and std, whatever they are called; refuse those of two normalisations."""
    found = {CONSTANTS[name.rpartition(".")[2]]: tensor for name, tensor in constants.items()}
    if len(found) < len(constants):
        raise ArtifactError(
            f"expected the constants of one normalisation in {path}, got {', '.join(sorted(constants))}; "
            "give a network that is normalised twice as a class of your own"
        )
    return found


def _normalisation(
    contents: _Contents, settings: ArchitectureSettings, channels: int
) -> tuple[list[float], list[float]] | None:
    """Return the file's constants, else those of the settings, and refuse two that differ."""
    found = _constants_of(contents, channels)
    if found is None and settings.mean is not None and settings.std is not None:
        found = list(settings.mean), list(settings.std)
    elif found is not None and settings.mean is not None and settings.std is not None:
        difference = torch.tensor(found) - torch.tensor([settings.mean, settings.std])
        if difference.abs().max() > _SAME_CONSTANT:
            raise ConfigError(
                f"expected mean and std as in {contents.path} ({found[0]} and {found[1]}), got {list(settings.mean)} "
                f"and {list(settings.std)}; leave them out of the architecture"
            )
    if found is None and contents.layout.is_normalised:
        raise ConfigError(
            f"expected mean and std of the architecture, because networks of this layout normalise images and "
            f"{contents.path} does not hold the constants, got none; take them from the code that trained it"
        )
    return found


def _constants_of(contents: _Contents, channels: int) -> tuple[list[float], list[float]] | None:
    if not contents.constants:
        return None
    values = {kind: tensor.double().flatten() for kind, tensor in contents.constants.items()}
    mean, std = values.get("mean"), values.get("std")
    if mean is None or std is None or len(mean) != channels or len(std) != channels:
        got = ", ".join(f"{kind} of {len(value)}" for kind, value in sorted(values.items()))
        raise ArtifactError(
            f"expected mean and std of {channels} values in {contents.path}, one per image channel, got {got}; "
            "give the checkpoint of a network for these images"
        )
    if not (mean.isfinite().all() and std.isfinite().all() and (std > 0).all()):
        raise ArtifactError(f"expected finite mean and positive std in {contents.path}, got {mean} and {std}")
    return mean.tolist(), std.tolist()


def _fill(bare: nn.Module, contents: _Contents, settings: ArchitectureSettings) -> None:
    """Load the weights; counters that the file lacks stay 0."""
    layout = contents.layout
    padding = layout.strided_padding
    if padding is not None and padding != settings.strided_padding:
        raise ConfigError(
            f"expected strided_padding {padding}, as the networks of {contents.path}'s layout pad, "
            f"got {settings.strided_padding}; set strided_padding: {padding}"
        )
    ours = bare.state_dict()
    expected = {layout.theirs(name): tensor for name, tensor in ours.items()}
    found = {**{name: tensor for name, tensor in expected.items() if is_counter(name)}, **contents.weights}
    wrong = misfit(expected, found)
    if wrong:
        raise ArtifactError(_refusal(wrong, contents, settings, ours))
    bare.load_state_dict({name: found[layout.theirs(name)] for name in ours})
    others = [name for name, parameter in bare.named_parameters() if not parameter.isfinite().all()]
    if others:
        raise ArtifactError(
            f"expected finite weights in {contents.path}, got NaN, infinity or numbers beyond float32 in "
            f"{', '.join(others[:3])}; give another checkpoint"
        )


def _refusal(wrong: str, contents: _Contents, settings: ArchitectureSettings, ours: Mapping[str, Tensor]) -> str:
    """Say it plainly where class count, channels or the size of a wide network differ, else list tensors."""
    path = contents.path
    found = {name: contents.weights.get(contents.layout.theirs(name)) for name in ours}
    stem, classifier = found.get("stem.weight"), found.get("classifier.weight")
    if classifier is not None and len(classifier) != len(ours["classifier.weight"]):
        return (
            f"expected a network of {len(ours['classifier.weight'])} classes, as the images have, "
            f"got one of {len(classifier)} in {path}; give another checkpoint"
        )
    if stem is not None and stem.ndim == 4 and stem.shape[1] != ours["stem.weight"].shape[1]:
        return (
            f"expected a network of images with {ours['stem.weight'].shape[1]} channels, got one with "
            f"{stem.shape[1]} in {path}; give another checkpoint"
        )
    size = _wide_size(contents, classifier) if settings.name.startswith("wrn-") else ""
    if size not in ("", settings.name):
        return f"expected the tensors of {settings.name}, got those of {size} in {path}; set its name in architecture"
    return (
        f"expected the tensors of {settings.name} in {path}, got others ({wrong}); "
        "set architecture to the network that the file was saved from"
    )


def _wide_size(contents: _Contents, classifier: Tensor | None) -> str:
    """Read depth and widening factor off the tensors, as a name; "" where they are not those of a wide network."""
    first = [contents.layout.theirs(f"stages.0.{block}.conv1.weight") for block in range(len(contents.weights))]
    blocks = sum(name in contents.weights for name in first)
    if classifier is None or not blocks:
        return ""
    return f"wrn-{6 * blocks + 4}-{classifier.shape[-1] // 64}"
