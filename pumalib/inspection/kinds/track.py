"""Tracks: what a training gathered about every row, epoch by epoch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import ArtifactError, ResourceError
from pumalib.inspection.inspection import Inspection, Table, distribution
from pumalib.inspection.pools import pool_of, rows_of
from pumalib.inspection.samples import Samples, extremes
from pumalib.lineage.headers import Header
from pumalib.tracks.file import BOOLEAN, Track, read_track


def describe(header: Header, count: int) -> Inspection:
    """Describe each quantity; where the pool is there, with the hardest rows."""
    track = read_track(header.path)
    what = f"what a training gathered about {track.num_rows} rows while it went on"
    means = _row_means(track)
    spread = tuple(distribution(f"{name}, mean over epochs of a row", values) for name, values in means.items())
    if track.visits is not None:
        spread = (*spread, distribution("visits of a row", track.visits.count))
    tables = (_by_epoch(track),) if track.quantities else ()
    facts = {"rows": track.num_rows, "tracked": list(track.names) or "nothing"}
    try:
        return Inspection(what, facts, (*tables, *extremes(samples(header), count)), spread)
    except (ArtifactError, ResourceError) as error:
        return Inspection(what, facts, tables, spread, (f"labels and sources are not known: {error}",))


def samples(header: Header) -> Samples:
    """Read the rows of the pool with the mean of each quantity; the first of them says which are hard."""
    track = read_track(header.path)
    means = _row_means(track)
    first = next(iter(means.values()), None)
    hardness = None if first is None else first * (-1 if next(iter(means)) == BOOLEAN else 1)
    return replace(rows_of(pool_of(header)), values={**means}, hardness=hardness)


def _row_means(track: Track) -> dict[str, NDArray[np.float64]]:
    means = {name: part.values.mean(0, dtype=np.float64) for name, part in track.quantities.items()}
    if track.visits is not None:
        with np.errstate(invalid="ignore"):
            means["wrong visits"] = track.visits.wrong / track.visits.count
    return means


def _by_epoch(track: Track) -> Table:
    rows = [
        (name, int(epoch), float(values.mean()))
        for name, part in track.quantities.items()
        for epoch, values in zip(part.epochs, part.values, strict=True)
    ]
    return Table("means by epoch", ("quantity", "epoch", "mean"), tuple(rows))
