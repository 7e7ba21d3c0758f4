"""The margins of a score table, for whoever takes them as distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumalib.attacks.threat_settings import Norm
from pumalib.errors import ArtifactError, DataError
from pumalib.scores.table import ScoreTable
from pumalib.selection.bounds import at_their_farthest, reaches

_LARGEST_ERROR = 0.25
"""Mean error of extrapolated margins on rows held back, as a share of the mean margin: beyond it they are ranks alone.
A choice of ours."""


@dataclass(frozen=True)
class MarginsAsked:
    """Which margins are asked for.

    Attributes:
        score: name of the score.
        norm: that they must be in.
        up_to: how far they must be known, pixel scale.
        key: of the run that asks for them.
    """

    score: str
    norm: Norm
    up_to: float
    key: str


def expect_margins(asked: MarginsAsked, table: ScoreTable, inside: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Return the margins of some rows, [M], infinite where they are bounds; a row outside needs none.

    Args:
        asked: which margins.
        table: of the score.
        inside: [N] bool, which rows.

    Raises:
        DataError: a row inside has no margin, or one that is a bound nearer than asked for, or margins are
            extrapolated with too large an error.
        ArtifactError: a score that is no margin in the norm.
    """
    if table.norm != asked.norm:
        found = f"norm {table.norm}" if table.norm else f"no margins but {table.method} scores"
        raise ArtifactError(
            f"expected margins in the threat's norm {asked.norm}, got {found} in score {asked.score}; "
            f"name a margin score of that norm under {asked.key}"
        )
    missing = int((inside & ~table.valid).sum())
    if missing:
        raise DataError(f"expected a margin for every row, score {asked.score} lacks {missing}; score all rows")
    short = int((inside & table.bounded & ~reaches(table.score, asked.up_to)).sum())
    if short:
        raise DataError(
            f"expected margins up to {asked.up_to:.4g}, as {asked.key} asks for, got {short} that are bounds below "
            f"that in score {asked.score}; raise up_to of the score, or leave it out"
        )
    error = table.held_back_error
    if error is not None and error > _LARGEST_ERROR:
        raise DataError(
            f"expected distances for {asked.key}, got extrapolated margins in score {asked.score} whose mean error on "
            f"rows held back is {error:.0%} of the mean margin (at most {_LARGEST_ERROR:.0%}): they rank rows and no "
            "more; measure a larger share of the rows, or leave extrapolate out"
        )
    return at_their_farthest(table.score, table.bounded)[inside]
