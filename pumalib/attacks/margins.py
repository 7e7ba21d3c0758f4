"""Margin tables: what every margin estimator returns, and how it walks through many images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pumalib.attacks.bracket import close_bracket
from pumalib.attacks.counted import CountedModel
from pumalib.attacks.gradient_ascent import Clip
from pumalib.attacks.inputs import check_inputs, images_a_batch
from pumalib.attacks.nearest_boundary import Planes
from pumalib.attacks.objectives import cw_margin
from pumalib.attacks.projection import norms, per_row
from pumalib.attacks.threat_settings import Norm
from pumalib.models.checks import frozen_parameters
from pumalib.models.folding import Folding
from pumalib.models.network import Network


@dataclass(frozen=True)
class MarginTable:
    """Signed distances to the decision boundary, one row for each image.

    Attributes:
        margin: [N] float32, in units of the images. Where the model is right: the distance at which the label is left.
            Where it is wrong: minus the distance at which the label is reached. Where not converged: the (signed)
            distance searched without crossing. Where bounded: `up_to`, signed.
        converged: [N] bool, whether the boundary was crossed, and nearer than `up_to` where that was asked for.
        prediction: [N] int64, class predicted at the image.
        adversarial_class: [N] int64, class predicted across the boundary (the prediction where not converged).
        iterations: [N] int64, gradient iterations used.
        forwards: [N] int64, how often the image or a point on its way went through the model. The check of the model on
            a few images is not counted.
        backwards: [N] int64, and how often backward.
        bounded: [N] bool, whether no crossing nearer than `up_to` was found, so that the margin is a bound; never where
            converged. None unless `up_to` was asked for.
        adversarial_images: [N, ...] floats of the model's precision, the points just across the boundary (the last
            point tried where not converged); None unless asked for.
    """

    margin: NDArray[np.float32]
    converged: NDArray[np.bool_]
    prediction: NDArray[np.int64]
    adversarial_class: NDArray[np.int64]
    iterations: NDArray[np.int64]
    forwards: NDArray[np.int64]
    backwards: NDArray[np.int64]
    bounded: NDArray[np.bool_] | None = None
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
        beyond: [B] bool, searches that were given up where they would have gone too far; None: none was.
        planes: the linearised boundaries around rightly classified images, where the search kept them.
    """

    points: Tensor
    crossed: Tensor
    iterations: Tensor
    beyond: Tensor | None = None
    planes: Planes | None = None


Search = Callable[[CountedModel, Tensor, Tensor, Tensor], Crossing]
"""Maps (model, images [B, ...], labels [B], prediction [B]) to where the search ended."""


def search_radius(up_to: float | None, slack: float) -> float | None:
    """Return how far from the image to search for margins up to a distance; None: as far as it takes."""
    return None if up_to is None else slack * up_to


def measure_margins(
    search: Search,
    model: nn.Module,
    images: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    norm: Norm,
    clip: Clip,
    bisection_steps: int,
    batch_size: int | None,
    keep_adversarial: bool = False,
    up_to: float | None = None,
) -> MarginTable:
    """Search, bisect and sign the margins of many images, batch by batch.

    Args:
        search: finds a point across the boundary for a batch.
        model: maps [B, C, H, W] or [B, D] float32 to logits [B, K]; eval mode.
        images: [N, C, H, W] or [N, D] floats in the range of `clip`.
        labels: [N] integers in [0, K).
        norm: `linf` or `l2`.
        clip: range of valid inputs; None: unbounded.
        bisection_steps: the crossing is enclosed as narrowly as by this many halvings of the segment from the image to
            the point found.
        batch_size: images at once; None: as `inputs.images_a_batch`.
        keep_adversarial: also return the points across the boundary.
        up_to: distance from which on margins are bounds, all of this length; None: no margin is.

    Raises:
        DataError: a model, images or labels that do not fit each other; see `inputs.check_inputs`.
        ValueError: another norm, or `up_to` of at most 0.
    """
    if norm not in get_args(Norm):
        raise ValueError(f"expected norm linf or l2, got {norm}")
    if up_to is not None and not up_to > 0:
        raise ValueError(f"expected up_to above 0, got {up_to}")
    network, pixels, targets = check_inputs(model, images, labels, clip)
    size = images_a_batch(batch_size, tuple(pixels.shape[1:]))
    num_columns = len(fields(MarginTable)) - (not keep_adversarial)
    batches = []
    with Folding(model).applied(), frozen_parameters(model):
        for batch, batch_labels in zip(torch.split(pixels, size), torch.split(targets, size), strict=True):
            on_device = batch.to(network.device), batch_labels.to(network.device)
            columns = measure_batch(search, network, *on_device, norm, bisection_steps, up_to)
            batches.append([column.cpu() for column in columns[:num_columns]])
    table = _join(batches)
    return replace(table, bounded=None) if up_to is None else table


def measure_batch(
    search: Search,
    network: Network,
    images: Tensor,
    labels: Tensor,
    norm: Norm,
    bisection_steps: int,
    up_to: float | None = None,
) -> tuple[Tensor, ...]:
    """Return the columns of a margin table for one batch, in their order.

    Raises:
        DataError: logits or gradients that are not finite.
    """
    counted = CountedModel(network, len(images), images.device)
    logits = counted.logits(images, torch.arange(len(images), device=images.device))
    prediction = logits.argmax(1)
    crossing = search(counted, images, labels, prediction)
    was_correct = prediction == labels
    points, adversarial_class = _pull_back(counted, images, labels, logits, crossing, bisection_steps)
    distance, bounded = _bounded(norms(points - images, norm), crossing, up_to)
    converged = crossing.crossed & ~bounded
    adversarial_class = torch.where(converged, adversarial_class, prediction)
    margin = torch.where(was_correct, distance, -distance)
    passes = counted.forwards, counted.backwards
    network.expect_finite(images)
    return margin, converged, prediction, adversarial_class, crossing.iterations, *passes, bounded, points


def _bounded(distance: Tensor, crossing: Crossing, up_to: float | None) -> tuple[Tensor, Tensor]:
    """Return the distances [B], none longer than `up_to`, and which of them are bounds [B]."""
    if up_to is None:
        return distance, torch.zeros_like(crossing.crossed)
    # As tables store margins: what rounds to the bound is one, or it would look like one and not be marked.
    longest = torch.tensor(up_to, dtype=torch.float32).to(distance)
    bounded = distance.float().to(distance) >= longest
    if crossing.beyond is not None:
        bounded = bounded | crossing.beyond
    return torch.where(bounded, longest, distance), bounded


def _pull_back(
    model: CountedModel, images: Tensor, labels: Tensor, clean_logits: Tensor, crossing: Crossing, steps: int
) -> tuple[Tensor, Tensor]:
    """Pull each crossing back along its segment; the point kept was always seen to be across."""
    was_correct = clean_logits.argmax(1) == labels
    rows = torch.nonzero(crossing.crossed).squeeze(1)
    points, classes = crossing.points.clone(), clean_logits.argmax(1)
    if len(rows) == 0:
        return points, classes
    far, sign = points[rows] - images[rows], was_correct[rows] * 2 - 1

    def look(places: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
        among = rows[places]
        tried = images[among] + per_row(shares, far) * far[places]
        logits = model.logits(tried, among)
        predicted = logits.argmax(1)
        across = model.is_across(logits, labels[among], was_correct[among])
        points[among] = torch.where(per_row(across, tried), tried, points[among])
        classes[among] = torch.where(across, predicted, classes[among])
        return cw_margin(logits, labels[among]) * sign[places], across

    logits = model.logits(points[rows], rows)
    classes[rows] = logits.argmax(1)
    gap_low, gap_high = (cw_margin(values, labels[rows]) * sign for values in (clean_logits[rows], logits))
    close_bracket(look, gap_low, gap_high, steps)
    return points, classes


def _join(batches: list[list[Tensor]]) -> MarginTable:
    columns: list[NDArray[Any]] = [torch.cat(column).numpy() for column in zip(*batches, strict=True)]
    names = [field.name for field in fields(MarginTable)]
    table = dict(zip(names, columns, strict=False))
    table["margin"] = table["margin"].astype(np.float32)
    return MarginTable(**table)
