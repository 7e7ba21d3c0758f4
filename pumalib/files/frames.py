"""CSV tables as data frames."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from pumalib.errors import ArtifactError
from pumalib.files.tables import read_table


def read_frame(path: str | Path, what: str = "a table", **options: Any) -> pd.DataFrame:
    """Read a table.

    Args:
        path: of the table.
        what: it holds, for messages.
        options: of `pandas.read_csv`.

    Raises:
        ArtifactError: missing, changed since it was written, not text, or not a table.
    """
    try:
        frame: pd.DataFrame = pd.read_csv(StringIO(read_table(path, what)), **options)
    except ValueError as error:
        reason = str(error).strip().replace("\n", " ")
        raise ArtifactError(f"expected {what} at {path}, got: {reason}; delete it and run again") from None
    return frame
