"""From settings to a freshly initialised model."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pumalib.errors import ConfigError
from pumalib.models.checks import in_eval_mode
from pumalib.models.layers import Normalized
from pumalib.models.settings import (
    ArchitectureSettings,
    ImageShape,
    architecture_module,
    architecture_origin,
    check_architecture,
    load_user_class,
)


def build_model(settings: ArchitectureSettings, image_shape: ImageShape, num_classes: int, seed: int = 0) -> nn.Module:
    """Build a network on the CPU, in training mode. The global random state stays as it is.

    Args:
        settings: the architecture.
        image_shape: (height, width, channels) of one image.
        num_classes: number of classes K, at least 2.
        seed: of the initial weights: same seed, same weights.

    Returns:
        A network that maps float32 images [B, C, H, W] in [0, 1] to logits [B, K].

    Raises:
        ConfigError: the architecture does not fit the images, or is no such model.

    Example:
        >>> import torch
        >>> from pumalib import ArchitectureSettings
        >>> model = build_model(ArchitectureSettings(name="mlp", width=64), (8, 8, 1), num_classes=10, seed=1).eval()
        >>> model(torch.rand(5, 1, 8, 8)).shape
        torch.Size([5, 10])
    """
    check_architecture(settings, image_shape, num_classes)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the accelerators as well
        model = _construct(settings, image_shape, num_classes)
        if architecture_origin(settings.name) != "built-in":
            _check_logits(model, settings.name, image_shape, num_classes)
        if settings.mean is not None and settings.std is not None:
            model = Normalized(model, settings.mean, settings.std)
    return model


def outline(settings: ArchitectureSettings, image_shape: ImageShape, num_classes: int) -> dict[str, Tensor]:
    """Return the tensors that a network of this library has, by name, without memory for their numbers.

    Raises:
        ConfigError: the architecture does not fit the images.
    """
    check_architecture(settings, image_shape, num_classes)
    with torch.device("meta"):
        model = _construct(settings, image_shape, num_classes)
        if settings.mean is not None and settings.std is not None:
            model = Normalized(model, settings.mean, settings.std)
    return dict(model.state_dict())


def _construct(settings: ArchitectureSettings, image_shape: ImageShape, num_classes: int) -> nn.Module:
    if architecture_origin(settings.name) == "user":
        return _construct_user_model(settings.name, image_shape, num_classes)
    family = importlib.import_module(architecture_module(settings.name))
    model: nn.Module = family.build(settings, image_shape, num_classes)
    return model


def _construct_user_model(name: str, image_shape: ImageShape, num_classes: int) -> nn.Module:
    user_class = load_user_class(name)
    _check_signature(user_class, name)
    model = user_class(image_shape=image_shape, num_classes=num_classes)
    if not isinstance(model, nn.Module):
        raise ConfigError(f'expected "{name}" to give a torch.nn.Module, got {type(model).__name__}')
    return model


def _check_signature(user_class: Callable[..., Any], name: str) -> None:
    """Look at the arguments rather than call and catch, so that a TypeError inside stays what it is."""
    try:
        inspect.signature(user_class).bind(image_shape=(1, 1, 1), num_classes=2)
    except TypeError as error:
        attribute = name.partition(":")[2]
        raise ConfigError(
            f'expected "{name}" to be callable as {attribute}(image_shape=(height, width, channels), '
            f"num_classes=int), got: {error}"
        ) from None


def _check_logits(model: nn.Module, name: str, image_shape: ImageShape, num_classes: int) -> None:
    """Try the model on two black images."""
    height, width, channels = image_shape
    try:
        with torch.no_grad(), in_eval_mode(model):
            logits = model(torch.zeros(2, channels, height, width))
    except Exception as error:  # the model is not ours: whatever it raises, it cannot take these images
        raise ConfigError(
            f'"{name}" fails on a batch [2, {channels}, {height}, {width}] ({type(error).__name__}: {error})'
        ) from error
    got = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    if got != [2, num_classes]:
        raise ConfigError(f'expected "{name}" to give logits [2, {num_classes}] for 2 images, got {got}')
