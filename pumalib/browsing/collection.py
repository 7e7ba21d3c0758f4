"""Rows that a page shows together: those of a pool, or the images of an attack. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from pumalib.browsing.moved import Moved
from pumalib.data.images import stratified_rows
from pumalib.randomness import numpy_generator


@dataclass(frozen=True)
class Facet:
    """One property of rows that a page filters by, such as the source.

    Attributes:
        names: of what it can be.
        codes: [M] int64, which of the names each row has.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]


@dataclass(frozen=True)
class Collection:
    """Rows of one file.

    Attributes:
        name: what they are, such as `train rows`.
        rows: [M] int64, their numbers in the pool or split.
        class_names: in label order.
        labels: [M] int64.
        facets: by name; rows are coloured by the first.
        predictions: [M] int64 by name.
        values: [M] float32 by name, nan where a row has none; rows are ordered by the first.
        images: gives uint8 [K, H, W, C] for positions [K] in [0, M).
        files: [M] names of the files that images were; None: they were none of their own.
        cuts: thresholds by the name of the value, where one separates the rows that a cut removed.
        moved: perturbed images of some rows; None: of none.
        notes: sentences for the reader.
    """

    name: str
    rows: NDArray[np.int64]
    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    facets: dict[str, Facet]
    predictions: dict[str, NDArray[np.int64]]
    values: dict[str, NDArray[np.float32]]
    images: Callable[[NDArray[np.int64]], NDArray[np.uint8]]
    files: NDArray[np.object_] | None = None
    cuts: dict[str, tuple[float, ...]] = field(default_factory=dict)
    moved: Moved | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, positions: NDArray[np.int64]) -> Collection:
        """Return some of the rows [K], in the order given."""
        images = self.images
        return replace(
            self,
            rows=self.rows[positions],
            labels=self.labels[positions],
            facets={name: Facet(facet.names, facet.codes[positions]) for name, facet in self.facets.items()},
            predictions={name: column[positions] for name, column in self.predictions.items()},
            values={name: column[positions] for name, column in self.values.items()},
            images=lambda taken: images(positions[taken]),
            files=None if self.files is None else self.files[positions],
            moved=None if self.moved is None else self.moved.take(positions, len(self)),
        )

    def counts(self) -> NDArray[np.int64]:
        """Count rows by class and first facet, [classes, names]."""
        first = next(iter(self.facets.values()))
        counts = np.zeros((len(self.class_names), len(first.names)), np.int64)
        np.add.at(counts, (self.labels, first.codes), 1)
        return counts


def sampled(collection: Collection, count: int, seed: int) -> Collection:
    """Draw at most `count` rows in proportion to classes and facets (largest remainder); all where there are no more.

    Args:
        collection: the rows.
        count: at least 1.
        seed: of the draw.
    """
    if count >= len(collection):
        return collection
    columns = [collection.labels, *(facet.codes for facet in collection.facets.values())]
    _, strata = np.unique(np.stack(columns, 1), axis=0, return_inverse=True)
    return collection.take(stratified_rows(strata.reshape(-1), count, numpy_generator(seed, "browse")))


def in_order(collection: Collection) -> Collection:
    """Return the rows by the first value, the lowest first, those without one last; so neighbours share a picture."""
    if not collection.values:
        return collection
    first = next(iter(collection.values.values())).astype(np.float64)
    return collection.take(np.argsort(first, kind="stable"))
