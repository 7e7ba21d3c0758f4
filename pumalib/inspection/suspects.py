"""Rows whose label the margin model denies: suspected label errors, worst first. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pumalib.data.planted import true_labels_of
from pumalib.errors import DataError
from pumalib.inspection.kinds.scores import samples as samples_of
from pumalib.inspection.pools import pool_of
from pumalib.inspection.samples import Samples
from pumalib.lineage.headers import Header

MARGIN = "margin"
"""What the samples of a margin score call it."""


@dataclass(frozen=True)
class Suspects:
    """The rows of a pool, and which of them are suspects.

    Attributes:
        rows: of the whole pool, with `margin` and, where the score tells it, `prediction`.
        positions: [K] of the rows with a negative margin, the lowest first; ties by row number.
        is_wrong: [N] bool, rows whose label was planted wrong; None: the pool has no planted labels.
    """

    rows: Samples
    positions: NDArray[np.int64]
    is_wrong: NDArray[np.bool_] | None


class Detection(NamedTuple):
    """How well low margins find labels that were planted wrong."""

    num_wrong: int
    """Rows with a wrong label."""
    num_found: int
    """Of these, the suspects."""
    precision: float
    """Share of the suspects whose label is wrong; nan without suspects."""
    recall: float
    """Share of the wrong labels that are suspects."""
    average_precision: float
    """Mean over the wrong labels of the precision among all rows with a margin as low or lower."""


def find_suspects(header: Header) -> Suspects:
    """Find the rows whose margin is negative.

    Args:
        header: of a score table in the folder of its study.

    Raises:
        DataError: no margins.
        ArtifactError: the table, its pool or a source is missing or damaged.
    """
    rows = samples_of(header)
    if MARGIN not in rows.values or not header.attributes.get("norm"):
        raise DataError(
            f"expected a margin score, whose sign says that the model denies a label, got {header.path}; give a score "
            "of method deepfool, fast_margin or refined_margin"
        )
    margins = rows.values[MARGIN].astype(np.float64)
    order = np.argsort(margins, kind="stable")
    truth = true_labels_of(pool_of(header))
    if truth is not None:
        truth = truth[rows.rows]
        rows = replace(rows, predictions={**rows.predictions, "true label": truth})
    return Suspects(rows, order[margins[order] < 0], None if truth is None else truth != rows.labels)


def detection(suspects: Suspects) -> Detection | None:
    """Return how well low margins find the planted labels; None: none were planted."""
    if suspects.is_wrong is None or not suspects.is_wrong.any():
        return None
    margins, wrong = suspects.rows.values[MARGIN].astype(np.float64), suspects.is_wrong
    found, num_wrong = int(wrong[suspects.positions].sum()), int(wrong.sum())
    return Detection(
        num_wrong,
        found,
        found / len(suspects.positions) if len(suspects.positions) else float("nan"),
        found / num_wrong,
        average_precision(-margins, wrong),
    )


def average_precision(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Return the mean, over the positive rows, of the precision among the rows with as high a score or higher.

    Args:
        scores: [N], higher is more suspect; rows of one score count together.
        positive: [N] bool, at least one True.
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # the last row of each score
    found = np.cumsum(positive[order])[ends]
    gained = np.diff(found, prepend=0)
    return float((gained * found / (ends + 1)).sum() / positive.sum())
