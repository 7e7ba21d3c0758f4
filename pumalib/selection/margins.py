"""The margins of a score table, for whoever takes them as distances."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumalib.attacks.threat_settings import Norm
from pumalib.errors import ArtifactError, DataError
from pumalib.scores.table import ScoreTable


def expect_margins(
    name: str, table: ScoreTable, norm: Norm, inside: NDArray[np.bool_], key: str
) -> NDArray[np.float32]:
    """Return the margins of some rows, [M] float32; a row outside needs none.

    Args:
        name: of the score.
        table: of the score.
        norm: that the margins must be in.
        inside: [N] bool, which rows.
        key: of the run that asks for them, for the message.

    Raises:
        DataError: a row inside has no margin.
        ArtifactError: a score that is no margin in this norm.
    """
    if table.norm != norm:
        found = f"norm {table.norm}" if table.norm else f"no margins but {table.method} scores"
        raise ArtifactError(
            f"expected margins in the threat's norm {norm}, got {found} in score {name}; "
            f"name a margin score of that norm under {key}"
        )
    missing = int((inside & ~table.valid).sum())
    if missing:
        raise DataError(f"expected a margin for every row, score {name} lacks {missing}; score all rows")
    return table.score[inside]
