"""Other labels for rows whose label a margin model denies: they are trained under the class that it gives them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import ArtifactError
from pumalib.scores.table import ScoreTable
from pumalib.selection.margins import MarginsAsked, expect_margins
from pumalib.selection.settings import SelectionSettings

PREDICTION = "prediction"
"""Column of a margin score: the class that the model gives each row."""


def labels_of_rows(
    settings: SelectionSettings, table: ScoreTable, labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the labels that every row of the pool is trained under, [N], and which of them are new, [N] bool.

    Args:
        settings: with `relabel`.
        table: of the margins that `relabel` names.
        labels: [N], of the pool.

    Raises:
        DataError: a row has no margin.
        ArtifactError: a score that is no margin in the threat's norm, or without predictions.
    """
    assert settings.relabel is not None
    asked = MarginsAsked(settings.relabel.score, settings.threat.norm, 0, "relabel")
    margins = expect_margins(asked, table, np.ones(len(table.valid), bool))
    if PREDICTION not in table.columns:
        raise ArtifactError(
            f"expected the column {PREDICTION} in score {settings.relabel.score}, found none; score the pool again"
        )
    predicted = table.columns[PREDICTION].astype(np.int64)
    is_new = (margins < -settings.relabel.beyond) & (predicted != labels)
    return np.where(is_new, predicted, labels), is_new
