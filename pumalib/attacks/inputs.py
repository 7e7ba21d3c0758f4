"""What an attack is given: a network, images and labels that fit each other, checked once at the door."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pumalib.attacks.gradient_ascent import Clip
from pumalib.data.arrays import as_array, has_channels_last
from pumalib.data.image_readers import Images
from pumalib.errors import DataError
from pumalib.models.checks import check_network
from pumalib.models.inputs import ModelInputs
from pumalib.models.network import Network

_NUM_TRIED = 16
"""How many images the network is tried on."""

_TOLERANCE = 1e-6

_IMAGES, _NUMBERS = 500, 500 * 32 * 32 * 3
"""Most images of a batch, and most numbers in them, unless said otherwise."""


def check_inputs(
    model: nn.Module, images: ArrayLike | Tensor, labels: ArrayLike | Tensor, clip: Clip, needs_gradient: bool = True
) -> tuple[Network, Tensor, Tensor]:
    """Turn a network, images and labels into what an attack can take.

    Args:
        model: maps [B, C, H, W] or [B, D] to logits [B, K]; eval mode.
        images: [N, C, H, W] or [N, D] floats in the range of `clip`; [N, H, W, C] with 1 or 3 channels is told apart.
            With a clip of (0, 1) uint8 is taken as well, and divided by 255.
        labels: [N] integers in [0, K).
        clip: range of valid inputs; None: unbounded.
        needs_gradient: whether the attack follows gradients.

    Returns:
        The network behind one face, the images in its precision and the labels as int64, on the device they came from.

    Raises:
        DataError: images that are none, not floats, not finite or out of range; labels that are not one integer
            in [0, K) for each; a network that would be mismeasured, see `checks.check_network`.
    """
    pixels, targets = _as_points(_as_tensor(images, "images"), clip), _as_tensor(labels, "labels")
    _check_images(pixels, clip)
    _check_one_label_each(pixels, targets)
    targets = targets.to(torch.int64)
    network = Network(model)
    pixels = pixels.to(network.dtype)
    _check_network(network, pixels[:_NUM_TRIED], targets, needs_gradient)
    return network, pixels, targets


def check_stored_inputs(
    model: nn.Module, images: Images, labels: NDArray[np.int64], needs_gradient: bool = True
) -> tuple[Network, ModelInputs, Tensor]:
    """Do as `check_inputs` for stored images, which are in range and are read batch by batch.

    Args:
        model: maps [B, C, H, W] to logits [B, K]; eval mode.
        images: [N, H, W, C] uint8.
        labels: [N] int64.
        needs_gradient: whether the attack follows gradients.

    Raises:
        DataError: as `check_inputs`.
    """
    targets = torch.from_numpy(labels)
    network = Network(model)
    inputs = ModelInputs(images, network.dtype)
    _check_one_label_each(inputs, targets)
    _check_network(network, inputs[:_NUM_TRIED], targets, needs_gradient)
    return network, inputs, targets


def _check_network(network: Network, few: Tensor, labels: Tensor, needs_gradient: bool) -> None:
    """Refuse a network that would be mismeasured, and labels beyond its classes."""
    num_classes = check_network(network, few.to(network.device), needs_gradient)
    if int(labels.min()) < 0 or int(labels.max()) >= num_classes:
        raise DataError(
            f"expected labels in [0, {num_classes}), got {int(labels.min())}..{int(labels.max())}; "
            "the model has another number of classes"
        )


def images_a_batch(batch_size: int | None, image_shape: tuple[int, ...]) -> int:
    """Return how many images go through a network at once.

    Args:
        batch_size: as asked for; None: 500 images of up to 32 x 32 x 3 numbers, and fewer of larger ones, so that a
            batch takes as long and as much memory.
        image_shape: of one image.

    Raises:
        DataError: fewer than one was asked for.
    """
    if batch_size is None:
        return max(1, min(_IMAGES, _NUMBERS // math.prod(image_shape)))
    if batch_size < 1:
        raise DataError(f"expected batch_size of at least 1, got {batch_size}")
    return batch_size


def _as_tensor(values: ArrayLike | Tensor, what: str) -> Tensor:
    """Return a tensor that PyTorch can compute with, whatever layout, byte order or width NumPy has for it."""
    if isinstance(values, Tensor):
        with torch.inference_mode(False):
            return values.clone() if values.is_inference() else values.detach()
    array = as_array(values, what)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def _as_points(images: Tensor, clip: Clip) -> Tensor:
    """Return images with the channels first, and uint8 as floats in [0, 1]."""
    if images.ndim == 4 and has_channels_last(tuple(images.shape)):
        images = images.permute(0, 3, 1, 2).contiguous()
    return images.float().div_(255) if images.dtype == torch.uint8 and clip == (0.0, 1.0) else images


def _check_images(images: Tensor, clip: Clip) -> None:
    if len(images.shape) < 2 or len(images) == 0 or 0 in images.shape:
        raise DataError(f"expected images [N, C, H, W] or [N, D] with N of at least 1, got {list(images.shape)}")
    if not images.is_floating_point():
        raise DataError(f"expected float images in the model's range, got {images.dtype}; divide by 255 first")
    low, high = float(images.min()), float(images.max())
    if not np.isfinite([low, high]).all():
        count = int((~images.flatten(1).isfinite()).any(1).sum())
        raise DataError(f"expected finite images, got NaN or infinity in {count} of {len(images)}")
    if clip is not None and (low < clip[0] - _TOLERANCE or high > clip[1] + _TOLERANCE):
        raise DataError(
            f"expected images in [{clip[0]:g}, {clip[1]:g}], the range of clip, got {low:g}..{high:g}; "
            "rescale them, or give their own range as clip (None: unbounded)"
        )


def _check_one_label_each(images: Tensor | ModelInputs, labels: Tensor) -> None:
    if labels.ndim == 2 and len(labels) == len(images) and labels.shape[1] > 1:
        raise DataError(
            f"expected one label for each of {len(images)} images, got {list(labels.shape)}, which looks one-hot; "
            "give labels.argmax(1)"
        )
    if labels.shape != images.shape[:1]:
        raise DataError(f"expected one label for each of {len(images)} images, got {list(labels.shape)}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DataError(f"expected integer labels, got {labels.dtype}")
