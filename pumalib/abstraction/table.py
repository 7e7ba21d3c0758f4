"""The tidy table of the abstraction model. Imports no torch."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pumalib.errors import ArtifactError
from pumalib.files import tables
from pumalib.files.frames import read_frame

KEYS = ("training", "student", "learned_for", "epsilon", "seed")
MEASURES = ("clean_accuracy", "robust_accuracy", "robust_loss", "weak_weight_share", "weak_mean_norm")
COLUMNS = (*KEYS, *MEASURES)
"""One line a student; the first five name it."""


def read_table(path: str | Path) -> pd.DataFrame:
    """Read the table.

    Raises:
        ArtifactError: missing, or not such a table.
    """
    table = read_frame(path, "a table of students", ("seed", *MEASURES), keep_default_na=False)
    if tuple(table.columns) != COLUMNS or table.duplicated(list(KEYS)).any():
        raise ArtifactError(
            f"expected the columns {', '.join(COLUMNS)} and one line a student at {path}; delete it and run again"
        )
    return table


def write_table(table: pd.DataFrame, output: Path) -> None:
    """Write the table, numbers in full precision."""
    tables.write_table(output, table.to_csv(index=False, lineterminator="\n"))
