"""What an attack is given: a model, images and labels that fit each other, checked once at the door."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from pumalib.attacks.gradient_ascent import Clip
from pumalib.errors import DataError
from pumalib.models.checks import check_model

_NUM_TRIED = 16
"""How many images the model is tried on."""

_TOLERANCE = 1e-6


def model_device(model: nn.Module) -> torch.device:
    """Return where a model's parameters live; the CPU if it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def check_inputs(
    model: nn.Module, images: ArrayLike | Tensor, labels: ArrayLike | Tensor, clip: Clip
) -> tuple[Tensor, Tensor]:
    """Turn images and labels into tensors that an attack can take.

    Args:
        model: maps [B, C, H, W] or [B, D] to logits [B, K]; eval mode.
        images: [N, C, H, W] or [N, D] floats in the range of `clip`.
        labels: [N] integers in [0, K).
        clip: range of valid inputs; None: unbounded.

    Returns:
        The images in the model's own precision and the labels as int64, on the device they came from.

    Raises:
        DataError: images that are none, not floats, not finite or out of range; labels that are not one integer
            in [0, K) for each; a model in train mode or giving probabilities.
    """
    pixels, targets = _as_tensor(images), _as_tensor(labels)
    _check_images(pixels, clip)
    _check_one_label_each(pixels, targets)
    pixels = pixels.to(next((parameter.dtype for parameter in model.parameters()), torch.float32))
    num_classes = check_model(model, pixels[:_NUM_TRIED].to(model_device(model)))
    if int(targets.min()) < 0 or int(targets.max()) >= num_classes:
        raise DataError(
            f"expected labels in [0, {num_classes}), got {int(targets.min())}..{int(targets.max())}; "
            "the model has another number of classes"
        )
    return pixels, targets.to(torch.int64)


def _as_tensor(values: ArrayLike | Tensor) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach()
    array = np.asarray(values)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _check_images(images: Tensor, clip: Clip) -> None:
    if len(images.shape) < 2 or len(images) == 0:
        raise DataError(f"expected images [N, C, H, W] or [N, D] with N of at least 1, got {list(images.shape)}")
    if not images.is_floating_point():
        raise DataError(f"expected float images in the model's range, got {images.dtype}; divide by 255 first")
    low, high = float(images.min()), float(images.max())
    if not np.isfinite([low, high]).all():
        raise DataError("expected finite images, got NaN or infinity")
    if clip is not None and (low < clip[0] - _TOLERANCE or high > clip[1] + _TOLERANCE):
        raise DataError(
            f"expected images in [{clip[0]:g}, {clip[1]:g}], the range of clip, got {low:g}..{high:g}; "
            "rescale them, or give their own range as clip (None: unbounded)"
        )


def _check_one_label_each(images: Tensor, labels: Tensor) -> None:
    if labels.shape != images.shape[:1]:
        raise DataError(f"expected one label for each of {len(images)} images, got {list(labels.shape)}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DataError(f"expected integer labels, got {labels.dtype}")
