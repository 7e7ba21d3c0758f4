"""Margins for a tenth of their cost: some rows are measured, the margins of all others follow from theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from pumalib.attacks.deepfool import deepfool_margins
from pumalib.attacks.extrapolation import (
    Extrapolation,
    HeldBack,
    Looks,
    look_at,
    rows_to_measure,
    strata_of,
    unmeasured,
)
from pumalib.attacks.gradient_ascent import Clip
from pumalib.attacks.inputs import check_inputs, images_a_batch
from pumalib.attacks.margins import MarginTable
from pumalib.data.arrays import as_numbers
from pumalib.errors import DataError
from pumalib.models.network import Network

Estimator = Callable[[nn.Module, Tensor, Tensor], MarginTable]
"""Maps (model, images [B, ...], labels [B]) to whole margins, as `deepfool_margins` does."""


@dataclass(frozen=True)
class ExtrapolatedMargins:
    """Margins of which some are measured, and the others follow from theirs.

    Attributes:
        table: [N] rows. Where a row was not measured, `margin` is extrapolated, `converged` is True because it is no
            bound, `adversarial_class` is the prediction and `iterations` are 0. Passes are those of each row, the look
            that gives its features among them.
        measured: [N] bool.
        held_back: how far extrapolated margins were off on measured rows.
    """

    table: MarginTable
    measured: NDArray[np.bool_]
    held_back: HeldBack


def extrapolated_margins(
    model: nn.Module,
    images: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    *,
    estimate: Estimator = deepfool_margins,
    fraction: float = 0.1,
    neighbours: int = 10,
    least_agreement: float = 0.9,
    source: ArrayLike | None = None,
    clip: Clip = (0.0, 1.0),
    batch_size: int | None = None,
    seed: int = 0,
) -> ExtrapolatedMargins:
    """Measure the margins of a share of the images, and extrapolate those of all others.

    Args:
        model: maps [B, C, H, W] or [B, D] float32 to logits [B, K]; eval mode.
        images: [N, C, H, W] or [N, D] floats in the range of `clip`; also [N, H, W, C], and uint8, divided by 255.
        labels: [N] integers in [0, K).
        estimate: measures margins; `functools.partial(deepfool_margins, norm="l2")` has options of its own.
        fraction: share of the rows to measure, in (0, 1), the same of each class and source; at least one row of each.
        neighbours: measured rows that each other row's ratio of margin to logit margin is the mean of.
        least_agreement: rank correlation of extrapolated with measured margins below which they are refused.
        source: [N] integers, such as 0 real and 1 synthetic; None: all alike.
        clip: range of valid inputs; None: unbounded. `estimate` needs the same.
        batch_size: images looked at at once, None: 500, fewer of large ones; changes the speed, not the result.
        seed: of the draw of the rows to measure.

    Returns:
        The margins, which of them are measured, and how far the others may be off.

    Raises:
        DataError: images, labels or a model that do not fit; too few measured rows; or margins that do not follow.
        ValueError: a fraction outside (0, 1), or fewer neighbours than one.
    """
    if not 0 < fraction < 1 or neighbours < 1:
        raise ValueError(f"expected fraction in (0, 1) and neighbours of at least 1, got {fraction} and {neighbours}")
    network, pixels, targets = check_inputs(model, images, labels, clip)
    measured = rows_to_measure(_strata(targets, source), fraction, seed)
    rows = torch.from_numpy(measured)
    table = estimate(model, pixels[rows], targets[rows])
    if table.bounded is not None:
        raise DataError("expected an estimator that measures margins to their end, got one with up_to; leave it out")
    size = images_a_batch(batch_size, tuple(pixels.shape[1:]))
    looks = _look_at_all(network, pixels[rows], targets[rows], size)
    extrapolation = Extrapolation(looks, table.margin, table.converged, neighbours, seed)
    extrapolation.held_back.expect(least_agreement)
    others = _look_at_all(network, pixels[~rows], targets[~rows], size)
    both = _together(measured, with_a_look(table), unmeasured(extrapolation, others))
    return ExtrapolatedMargins(both, measured, extrapolation.held_back)


def with_a_look(table: MarginTable) -> MarginTable:
    """Return the table of measured rows with the look that gave their features."""
    columns = {field.name: getattr(table, field.name) for field in fields(MarginTable)}
    return MarginTable(**{**columns, "forwards": table.forwards + 1, "adversarial_images": None})


def _strata(labels: Tensor, source: ArrayLike | None) -> NDArray[np.int64]:
    classes: NDArray[np.int64] = labels.cpu().numpy()
    if source is None:
        return classes
    sources = as_numbers(source, "source")
    if sources.shape != classes.shape:
        raise DataError(f"expected one source for each of {len(classes)} images, got shape {list(sources.shape)}")
    return strata_of(classes, sources)


def _look_at_all(network: Network, images: Tensor, labels: Tensor, size: int) -> Looks:
    batches = zip(torch.split(images, size), torch.split(labels, size), strict=True)
    return Looks.join([look_at(network, *(part.to(network.device) for part in batch)) for batch in batches])


def _together(measured: NDArray[np.bool_], first: MarginTable, second: MarginTable) -> MarginTable:
    """Put the tables of measured and of other rows together, in the order of the rows."""
    order = np.argsort(np.concatenate([np.flatnonzero(measured), np.flatnonzero(~measured)]))
    names = [field.name for field in fields(MarginTable) if getattr(second, field.name) is not None]
    return MarginTable(**{name: np.concatenate([getattr(first, name), getattr(second, name)])[order] for name in names})
