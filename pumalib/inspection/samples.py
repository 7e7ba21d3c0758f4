"""Rows of a file as a reader looks at them: image, label, prediction, value, and how hard. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumalib.data.images import subset_rows
from pumalib.errors import DataError
from pumalib.inspection.inspection import Table


@dataclass(frozen=True)
class Samples:
    """Rows of a file, with all that is known of them.

    Attributes:
        rows: [M] int64, their numbers in the pool or split.
        class_names: in label order.
        labels: [M] int64.
        groups: [M] names, such as a source, a split or the cut that removed the row.
        images: called with positions [K] in [0, M), gives their images, uint8 [K, H, W, C].
        predictions: [M] int64 for each name (`prediction`, `under attack`); -1: not known.
        values: [M] numbers for each name (`margin`, `epsilon`).
        hardness: [M] numbers, higher is harder, nan: not told; None: the file orders no rows.
        files: [M] names of the files that images were; None: they were none of their own.
        sources: [M] names, where the groups tell something else; None: not known, or the groups.
        points: gives the perturbed images [K, H, W, C] of positions [K], pixel scale; None: none are kept.
    """

    rows: NDArray[np.int64]
    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: NDArray[Any]
    images: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
    predictions: dict[str, NDArray[np.int64]]
    values: dict[str, NDArray[Any]]
    hardness: NDArray[np.float64] | None = None
    files: NDArray[np.object_] | None = None
    sources: NDArray[Any] | None = None
    points: Callable[[NDArray[np.int64]], NDArray[np.floating]] | None = None

    def class_name(self, label: int) -> str:
        """Return the name of a class; `-` where none is known."""
        return self.class_names[label] if label >= 0 else "-"


def ordered(samples: Samples, side: str, count: int, group: str | None = None) -> NDArray[np.int64]:
    """Return the positions of the hardest or easiest rows, those first; ties by row number.

    Args:
        samples: the rows.
        side: `hardest` or `easiest`.
        count: at most how many.
        group: of this group alone; None: of all.

    Returns:
        [K] int64, positions in the samples, K at most `count`.

    Raises:
        DataError: the file orders no rows.

    Example:
        >>> import numpy as np
        >>> from pumalib.inspection.files import read_samples
        >>> samples = read_samples("results/digits/scores/margin/seed0.h5")
        >>> hardest = ordered(samples, "hardest", count=4)
        >>> bool((np.diff(samples.hardness[hardest]) <= 0).all())
        True
    """
    if samples.hardness is None:
        raise DataError(
            f"expected row numbers, got {side}: the file does not say which rows are hard; "
            "give the score table, or a selection whose epsilons or cuts come from a score"
        )
    told = ~np.isnan(samples.hardness) & _in_group(samples, group)
    positions = np.flatnonzero(told)
    key = samples.hardness[positions] * (-1 if side == "hardest" else 1)
    return positions[np.argsort(key, kind="stable")][:count]


def drawn(samples: Samples, count: int, group: str | None = None) -> NDArray[np.int64]:
    """Return at most `count` positions, drawn in proportion to the classes, the same each time, ascending."""
    positions = np.flatnonzero(_in_group(samples, group))
    return positions[subset_rows(samples.labels[positions], count, "shown")]


def positions_of(samples: Samples, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the positions of rows by their numbers, in the order asked.

    Raises:
        DataError: a row that the file does not have.
    """
    known = {int(row): position for position, row in reversed(list(enumerate(samples.rows)))}
    missing = [str(row) for row in rows if int(row) not in known]
    if missing:
        raise DataError(
            f"expected rows in [{samples.rows.min()}, {samples.rows.max()}], got {', '.join(missing[:5])}, "
            "not among the rows of the file"
        )
    return np.array([known[int(row)] for row in rows], np.int64)


def _in_group(samples: Samples, group: str | None) -> NDArray[np.bool_]:
    if group is None:
        return np.ones(len(samples.rows), np.bool_)
    return np.asarray(samples.groups == group, np.bool_)


def row_table(name: str, samples: Samples, positions: NDArray[np.int64]) -> Table:
    """Return rows with everything that is known of them."""
    named = () if samples.files is None else ("file",)
    columns = ("row", "group", "label", *samples.predictions, *samples.values, *named)
    rows = [
        (
            int(samples.rows[at]),
            str(samples.groups[at]),
            samples.class_name(int(samples.labels[at])),
            *(samples.class_name(int(column[at])) for column in samples.predictions.values()),
            *(column[at].item() for column in samples.values.values()),
            *(() if samples.files is None else (str(samples.files[at]),)),
        )
        for at in positions
    ]
    return Table(name, columns, tuple(rows))


def extremes(samples: Samples, count: int) -> tuple[Table, ...]:
    """Return the hardest and the easiest rows, where the file orders them."""
    if samples.hardness is None:
        return ()
    return tuple(row_table(f"{side} rows", samples, ordered(samples, side, count)) for side in ("hardest", "easiest"))
