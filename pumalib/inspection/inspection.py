"""What one file holds, whatever its kind. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
NUM_BINS = 15


@dataclass(frozen=True)
class Table:
    """A small table.

    Attributes:
        name: such as `rows kept by class`.
        columns: their names.
        rows: cells; None where not known.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Distribution:
    """How the values of one column are spread.

    Attributes:
        name: of the column, with its unit.
        num_values: finite ones, which the rest is of.
        num_not_finite: left out.
        mean: of the finite ones; nan without any.
        quantiles: [9], at `QUANTILES`; empty without any.
        edges: [B + 1] of bins of one width; empty without any.
        counts: [B] values in each bin.
    """

    name: str
    num_values: int
    num_not_finite: int
    mean: float
    quantiles: NDArray[np.float64]
    edges: NDArray[np.float64]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Inspection:
    """What one file holds.

    Attributes:
        what: one sentence.
        facts: single values by name.
        tables: counts, and the hardest and easiest rows.
        distributions: of its columns.
        notes: what could not be said, and why.
    """

    what: str
    facts: Mapping[str, Any]
    tables: tuple[Table, ...] = ()
    distributions: tuple[Distribution, ...] = ()
    notes: tuple[str, ...] = ()


def distribution(name: str, values: ArrayLike) -> Distribution:
    """Describe how values [N] are spread; bins of one width over their whole range, one bin if all are alike."""
    column = np.asarray(values, np.float64).ravel()
    finite = column[np.isfinite(column)]
    num_lost = len(column) - len(finite)
    none = np.empty(0)
    if not len(finite):
        return Distribution(name, 0, num_lost, float("nan"), none, none, none.astype(np.int64))
    counts, edges = np.histogram(finite, 1 if np.ptp(finite) == 0 else NUM_BINS)
    quantiles = np.quantile(finite, QUANTILES)
    return Distribution(name, len(finite), num_lost, float(finite.mean()), quantiles, edges, counts.astype(np.int64))


def class_counts(name: str, labels: NDArray[np.int64], groups: NDArray[Any], class_names: Sequence[str]) -> Table:
    """Count rows by class and group (of source, split or reason), with sums.

    Args:
        name: of the table.
        labels: [N].
        groups: [N] names.
        class_names: in label order.
    """
    names = [str(group) for group in dict.fromkeys(groups.tolist())]
    columns = [np.bincount(labels[groups == group], minlength=len(class_names)).tolist() for group in names]
    rows = [(title, *cells, sum(cells)) for title, *cells in zip(class_names, *columns, strict=True)]
    sums = [sum(column) for column in columns]
    return Table(name, ("class", *names, "all"), (*rows, ("all", *sums, sum(sums))))
