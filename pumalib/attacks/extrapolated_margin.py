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
    """Margins of which some are measured, and the others are extrapolated from them.

    Attributes:
        table: [N] rows. Where a row was not measured, `margin` is extrapolated, `converged` is True because it is no
            bound, `adversarial_class` is the prediction and `iterations` are 0. `forwards` and `backwards` are those of
            each row; the forward pass that gives its features is one of them.
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

    It costs a tenth of measuring all, and one forward pass for each image. docs/margins.md says how good it is.

    Args:
        model: maps float32 [B, C, H, W] or [B, D] to logits [B, K], K classes; in eval mode.
        images: [N, C, H, W] or [N, D] floats in the range of `clip`; also [N, H, W, C], and uint8, which is divided by
            255.
        labels: [N] integers in [0, K).
        estimate: measures margins. `functools.partial(deepfool_margins, norm="l2")` is one with options of its own.
        fraction: share of the rows to measure, in (0, 1). It is the same of each class and source, and at least one
            row.
        neighbours: how many measured rows a margin is extrapolated from; at least 1.
        least_agreement: extrapolated margins are refused if their rank correlation with measured ones, in [-1, 1], is
            lower.
        source: [N] integers, such as 0 for real and 1 for synthetic; None: all are alike.
        clip: lowest and highest value of a valid input; None: any value is valid. Give `estimate` the same.
        batch_size: images at once; None: 500, and fewer of images larger than 32 x 32 x 3. It changes the speed, not
            the result.
        seed: of the draw of the rows to measure.

    Returns:
        The margins, which of them are measured, and how far the others may be off.

    Raises:
        DataError: images, labels or a model that do not fit, as for `deepfool_margins`. Too few measured rows. Or an
            order of extrapolated margins that does not follow the measured ones.
        ValueError: a fraction outside (0, 1), or fewer neighbours than one.

    Source: a choice of ours; see docs/margins.md.

    Example:
        >>> from functools import partial
        >>> import torch
        >>> from pumalib import deepfool_margins
        >>> _ = torch.manual_seed(0)
        >>> model, images = torch.nn.Linear(4, 2).eval(), torch.rand(200, 4)
        >>> labels = model(images).argmax(1)
        >>> estimate = partial(deepfool_margins, norm="l2")
        >>> found = extrapolated_margins(model, images, labels, estimate=estimate, fraction=0.2)
        >>> len(found.table), found.held_back.agreement > 0.9
        (200, True)
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
