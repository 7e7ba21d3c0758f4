"""Margin tables: what every margin estimator returns, and how it walks through many images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pumalib.attacks.projection import norms
from pumalib.attacks.settings import Norm
from pumalib.errors import DataError
from pumalib.models.checks import check_model, frozen_parameters

Clip = tuple[float, float] | None


@dataclass(frozen=True)
class MarginTable:
    """Signed distances to the decision boundary, one row an image.

    Attributes:
        margin: [N] float32. Rightly classified: distance to leave the label. Misclassified: minus the distance to
            reach it. Where not converged: the (signed) distance searched without crossing.
        converged: [N] bool, whether the boundary was crossed.
        prediction: [N] int64, class predicted at the image.
        adversarial_class: [N] int64, class predicted across the boundary (the prediction where not converged).
        iterations: [N] int64, gradient iterations used.
        adversarial_images: [N, ...] float32 points just across the boundary; None unless asked for.
    """

    margin: NDArray[np.float32]
    converged: NDArray[np.bool_]
    prediction: NDArray[np.int64]
    adversarial_class: NDArray[np.int64]
    iterations: NDArray[np.int64]
    adversarial_images: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.margin)


@dataclass(frozen=True)
class Crossing:
    """Where a batch of searches ended.

    Attributes:
        points: [B, ...] the point across the boundary, or the last one tried.
        crossed: [B] bool.
        iterations: [B] int64.
    """

    points: Tensor
    crossed: Tensor
    iterations: Tensor


Search = Callable[[nn.Module, Tensor, Tensor, Tensor], Crossing]
"""Maps (model, images [B, ...], labels [B], prediction [B]) to where the search ended."""


def is_across(prediction: Tensor, labels: Tensor, was_correct: Tensor) -> Tensor:
    """Say whether a row is across its boundary: off its label if it was right, on it if it was wrong."""
    return torch.where(was_correct, prediction != labels, prediction == labels)


def measure_margins(
    search: Search,
    model: nn.Module,
    images: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    norm: Norm,
    bisection_steps: int,
    batch_size: int,
    keep_adversarial: bool = False,
) -> MarginTable:
    """Search, bisect and sign the margins of many images, batch by batch.

    Args:
        search: finds a point across the boundary for a batch.
        model: maps [B, C, H, W] or [B, D] float32 to logits [B, K]; eval mode.
        images: [N, C, H, W] or [N, D] floats.
        labels: [N] integers in [0, K).
        norm: `linf` or `l2`.
        bisection_steps: halvings of the segment from the image to the point found.
        batch_size: images at once.
        keep_adversarial: also return the points across the boundary.

    Raises:
        DataError: a model in train mode or giving probabilities, labels out of range, NaN images.
    """
    pixels, targets = _as_tensors(images, labels)
    if len(pixels) == 0:
        raise DataError("expected at least one image, got none")
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    num_classes = check_model(model, pixels[:16].to(device))
    if int(targets.min()) < 0 or int(targets.max()) >= num_classes:
        raise DataError(
            f"expected labels in [0, {num_classes}), got {int(targets.min())}..{int(targets.max())}; "
            "the model has another number of classes"
        )
    with frozen_parameters(model):
        batches = [
            _measure_batch(search, model, batch.to(device), batch_labels.to(device), norm, bisection_steps)
            for batch, batch_labels in zip(pixels.split(batch_size), targets.split(batch_size), strict=True)
        ]
    return _join([batch if keep_adversarial else batch[:-1] for batch in batches])


def _as_tensors(images: ArrayLike | Tensor, labels: ArrayLike | Tensor) -> tuple[Tensor, Tensor]:
    pixels = images if isinstance(images, Tensor) else torch.from_numpy(np.asarray(images))
    targets = torch.as_tensor(np.asarray(labels) if not isinstance(labels, Tensor) else labels)
    if not pixels.is_floating_point():
        raise DataError(f"expected float images in the model's range, got {pixels.dtype}; divide by 255 first")
    if not torch.isfinite(pixels).all():
        raise DataError("expected images without NaN or infinity")
    if targets.shape != pixels.shape[:1]:
        raise DataError(f"expected one label for each of {len(pixels)} images, got {tuple(targets.shape)}")
    return pixels, targets.to(torch.int64)


def _measure_batch(
    search: Search, model: nn.Module, images: Tensor, labels: Tensor, norm: Norm, bisection_steps: int
) -> tuple[Tensor, ...]:
    with torch.no_grad():
        prediction = model(images).argmax(1)
    crossing = search(model, images, labels, prediction)
    was_correct = prediction == labels
    points, adversarial_class = _bisect(model, images, labels, was_correct, crossing, bisection_steps)
    distance = norms(points - images, norm)
    adversarial_class = torch.where(crossing.crossed, adversarial_class, prediction)
    margin = torch.where(was_correct, distance, -distance)
    return margin, crossing.crossed, prediction, adversarial_class, crossing.iterations, points


@torch.no_grad()
def _bisect(
    model: nn.Module, images: Tensor, labels: Tensor, was_correct: Tensor, crossing: Crossing, steps: int
) -> tuple[Tensor, Tensor]:
    """Pull each crossing back along its segment; the point kept was always seen to be across."""
    points = crossing.points.clone()
    classes = model(points).argmax(1)
    rows = torch.nonzero(crossing.crossed).squeeze(1)
    low, high = images[rows].clone(), points[rows].clone()
    for _ in range(steps if len(rows) else 0):
        middle = (low + high) / 2
        predicted = model(middle).argmax(1)
        across = is_across(predicted, labels[rows], was_correct[rows])
        keep = across.reshape(-1, *[1] * (images.ndim - 1))
        high, low = torch.where(keep, middle, high), torch.where(keep, low, middle)
        classes[rows] = torch.where(across, predicted, classes[rows])
    points[rows] = high
    return points, classes


def _join(batches: list[tuple[Tensor, ...]]) -> MarginTable:
    columns: list[NDArray[Any]] = [torch.cat(column).cpu().numpy() for column in zip(*batches, strict=True)]
    names = [field.name for field in fields(MarginTable)]
    table = dict(zip(names, columns, strict=False))
    table["margin"] = table["margin"].astype(np.float32)
    return MarginTable(**table)
