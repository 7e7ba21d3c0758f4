"""Architectures of the optional package timm, trained from scratch."""

from __future__ import annotations

from typing import Any

from torch import nn

from pumalib.errors import ConfigError
from pumalib.models.settings import ArchitectureSettings, ImageShape


def _create(name: str, **options: Any) -> nn.Module:
    import timm

    model: nn.Module = timm.create_model(name, pretrained=False, **options)
    return model


def build(settings: ArchitectureSettings, image_shape: ImageShape, num_classes: int) -> nn.Module:
    """Build "timm:<name>" without pretrained weights, for images of this size where the model asks for one.

    Raises:
        ConfigError: timm cannot build it for these images.
    """
    height, image_width, channels = image_shape
    model_name = settings.name.removeprefix("timm:")
    options = {"num_classes": num_classes, "in_chans": channels}
    try:
        try:
            return _create(model_name, img_size=(height, image_width), **options)
        except TypeError as error:  # timm has no list of the models that take an image size
            if "img_size" not in str(error):
                raise
            return _create(model_name, **options)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(
            f'timm cannot build "{model_name}" for {height} x {image_width} x {channels} images: {error}'
        ) from error
