"""Fewer attack steps for rows of a large margin: in training, a few steps may do there what many would."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.scores.table import ScoreTable
from pumalib.selection.margins import MarginsAsked, expect_margins
from pumalib.selection.settings import SelectionSettings


def steps_of_rows(settings: SelectionSettings, table: ScoreTable) -> NDArray[np.int64]:
    """Return the attack steps of every row of the pool, [N] int64.

    Args:
        settings: with `far`, and the steps of the other rows.
        table: of the margins that `far` names.

    Raises:
        DataError: a row has no margin, or one that is a bound nearer than `beyond`.
        ArtifactError: a score that is no margin in the threat's norm.
    """
    assert settings.far is not None
    assert settings.attack_steps is not None
    asked = MarginsAsked(settings.far.score, settings.threat.norm, settings.far.beyond, "far")
    margins = expect_margins(asked, table, np.ones(len(table.valid), bool))
    return np.where(margins > settings.far.beyond, settings.far.steps, settings.attack_steps).astype(np.int64)
