"""CSV tables as data frames."""

from __future__ import annotations

from collections.abc import Collection
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from pumalib.errors import ArtifactError
from pumalib.files.tables import read_table


def read_frame(path: str | Path, what: str = "a table", numbers: Collection[str] = (), **options: Any) -> pd.DataFrame:
    """Read a table.

    Args:
        path: of the table.
        what: it holds, for messages.
        numbers: columns that hold numbers alone, where they are there.
        options: of `pandas.read_csv`.

    Raises:
        ArtifactError: missing, changed since it was written, not text, not a table, or words in the place of numbers.
    """
    try:
        frame: pd.DataFrame = pd.read_csv(StringIO(read_table(path, what)), **options)
    except ValueError as error:
        reason = str(error).strip().replace("\n", " ")
        raise ArtifactError(f"expected {what} at {path}, got: {reason}; delete it and run again") from None
    words = [column for column in numbers if column in frame and not pd.api.types.is_numeric_dtype(frame[column])]
    if words:
        raise ArtifactError(f"expected numbers in the column {words[0]}, got words at {path}; delete it and run again")
    return frame
