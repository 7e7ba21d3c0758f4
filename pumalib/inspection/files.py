"""Inspecting a file of any kind: a module a kind, by convention. Imports no torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

from pumalib.errors import ArtifactError
from pumalib.inspection.inspection import Inspection
from pumalib.inspection.samples import Samples
from pumalib.lineage.headers import Header, read_header


def inspect_file(path: str | Path, count: int = 5) -> Inspection:
    """Say what a file of a study holds: single facts, tables, and how its values are spread.

    Args:
        path: an HDF5, safetensors, CSV or TSV file of a study; see docs/artifacts.md.
        count: how many of the hardest and of the easiest rows.

    Returns:
        What `puma inspect` prints.

    Raises:
        ArtifactError: missing, damaged or from elsewhere.

    Example:
        >>> found = inspect_file("results/digits/scores/margin/seed0.h5", count=3)
        >>> [distribution.name for distribution in found.distributions]
        ['margin (pixel scale [0, 1])']
    """
    if Path(path).suffix in (".csv", ".tsv"):
        from pumalib.inspection.kinds.csv_table import inspect_csv

        return inspect_csv(Path(path))
    header = read_header(path)
    describe: Callable[[Header, int], Inspection] = importlib.import_module(_module(header.kind)).describe
    return describe(header, count)


def read_samples(path: str | Path) -> Samples:
    """Read the rows of a file, with the images they belong to.

    Args:
        path: a dataset, pool, synthetic or learned set, score table, selection, track or attack table.

    Returns:
        M rows with labels, predictions and values. Images are read when they are asked for.

    Raises:
        ArtifactError: the file, or one that its images lie in, is missing or damaged; or it has no rows.

    Example:
        >>> import numpy as np
        >>> samples = read_samples("results/digits/scores/margin/seed0.h5")
        >>> samples.images(np.array([0, 1])).shape
        (2, 8, 8, 1)
    """
    header = read_header(path)
    module = importlib.import_module(_module(header.kind))
    if not hasattr(module, "samples"):
        raise ArtifactError(
            f"expected a file about rows, such as a score table or a selection, got {header.noun} at {path}"
        )
    read: Callable[[Header], Samples] = module.samples
    return read(header)


def _module(kind: str) -> str:
    return f"pumalib.inspection.kinds.{kind}"
