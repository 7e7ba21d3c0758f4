"""Margin tables: what every margin estimator returns, and how it walks through many images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pumalib.attacks.gradient_ascent import Clip
from pumalib.attacks.inputs import check_inputs, model_device
from pumalib.attacks.projection import norms
from pumalib.attacks.settings import Norm
from pumalib.models.checks import frozen_parameters


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
        adversarial_images: [N, ...] floats of the model's precision, the points just across the boundary (the last
            point tried where not converged); None unless asked for.
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
    clip: Clip,
    bisection_steps: int,
    batch_size: int,
    keep_adversarial: bool = False,
) -> MarginTable:
    """Search, bisect and sign the margins of many images, batch by batch.

    Args:
        search: finds a point across the boundary for a batch.
        model: maps [B, C, H, W] or [B, D] float32 to logits [B, K]; eval mode.
        images: [N, C, H, W] or [N, D] floats in the range of `clip`.
        labels: [N] integers in [0, K).
        norm: `linf` or `l2`.
        clip: range of valid inputs; None: unbounded.
        bisection_steps: halvings of the segment from the image to the point found.
        batch_size: images at once.
        keep_adversarial: also return the points across the boundary.

    Raises:
        DataError: a model, images or labels that do not fit each other; see `inputs.check_inputs`.
        ValueError: another norm.
    """
    if norm not in get_args(Norm):
        raise ValueError(f"expected norm linf or l2, got {norm}")
    pixels, targets = check_inputs(model, images, labels, clip)
    device = model_device(model)
    num_columns = len(fields(MarginTable)) - (not keep_adversarial)
    batches = []
    with frozen_parameters(model):
        for batch, batch_labels in zip(torch.split(pixels, batch_size), torch.split(targets, batch_size), strict=True):
            columns = _measure_batch(search, model, batch.to(device), batch_labels.to(device), norm, bisection_steps)
            batches.append([column.cpu() for column in columns[:num_columns]])
    return _join(batches)


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


def _join(batches: list[list[Tensor]]) -> MarginTable:
    columns: list[NDArray[Any]] = [torch.cat(column).numpy() for column in zip(*batches, strict=True)]
    names = [field.name for field in fields(MarginTable)]
    table = dict(zip(names, columns, strict=False))
    table["margin"] = table["margin"].astype(np.float32)
    return MarginTable(**table)
