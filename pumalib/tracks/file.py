"""What a training gathered about every row of the pool, in memory and on disk. Imports no torch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pumalib.errors import ArtifactError
from pumalib.files.artifacts import create_artifact, expect_fingerprint, open_artifact, read_array
from pumalib.files.origin import NO_ORIGIN, Origin
from pumalib.tracks.passes import PASSES, VISITS

BOOLEAN = "correct"
"""The one quantity that is no float32."""


@dataclass(frozen=True)
class Quantity:
    """One quantity after each tracked epoch.

    Attributes:
        epochs: [E] int64 ascending, counted from 1.
        values: [E, N], bool for `correct`, else float32.
        norm: `l2`, `l1` or `linf` of the gradient that `aign` is measured in; "" for the others.
    """

    epochs: NDArray[np.int64]
    values: NDArray[Any]
    norm: str = ""


@dataclass(frozen=True)
class Visits:
    """Counts over a whole training.

    Attributes:
        count: [N] int32, how often each row was drawn.
        wrong: [N] int32, how often it was misclassified under the training attack.
    """

    count: NDArray[np.int32]
    wrong: NDArray[np.int32]


@dataclass(frozen=True)
class Track:
    """All that a training gathered; empty where nothing was asked for.

    Attributes:
        num_rows: rows of the pool, N.
        quantities: by name.
        visits: None where not counted.
    """

    num_rows: int
    quantities: Mapping[str, Quantity]
    visits: Visits | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of everything gathered, sorted."""
        return tuple(sorted([*self.quantities, *([VISITS] if self.visits is not None else [])]))


def write_track(
    track: Track,
    output: Path,
    pool_fingerprint: str,
    origin: Origin = NO_ORIGIN,
) -> None:
    """Store a track."""
    with create_artifact(output, "track", origin) as file:
        file.attrs["pool_fingerprint"] = pool_fingerprint
        file.attrs["num_rows"] = track.num_rows
        for name, quantity in track.quantities.items():
            stored = file.create_dataset(name, data=quantity.values)
            stored.attrs["epochs"], stored.attrs["norm"] = quantity.epochs, quantity.norm
        if track.visits is not None:
            file.create_dataset(f"{VISITS}/count", data=track.visits.count)
            file.create_dataset(f"{VISITS}/wrong", data=track.visits.wrong)


def read_track(
    path: str | Path, pool_fingerprint: str | None = None, only: Collection[str] = (*PASSES, VISITS)
) -> Track:
    """Read a track, or the named part of what it holds.

    Args:
        path: the file.
        pool_fingerprint: the pool it must belong to; None: any.
        only: names of quantities to read; those that the file lacks are left out.

    Raises:
        ArtifactError: missing, damaged, of another kind or pool, or with parts of other sizes.
    """
    with open_artifact(path, "track") as file:
        if pool_fingerprint is not None:
            expect_fingerprint(str(file.attrs["pool_fingerprint"]), pool_fingerprint, "pool", path)
        quantities = {name: _read_quantity(file, name) for name in PASSES if name in file and name in only}
        visits = _read_visits(file) if VISITS in file and VISITS in only else None
        track = Track(int(file.attrs["num_rows"]), quantities, visits)
    _check_sizes(track, path)
    return track


def _read_quantity(file: h5py.File, name: str) -> Quantity:
    values = read_array(file, name, np.bool_ if name == BOOLEAN else np.float32, ndim=2)
    attributes = file[name].attrs
    return Quantity(np.asarray(attributes["epochs"], np.int64), values, str(attributes["norm"]))


def _read_visits(file: h5py.File) -> Visits:
    return Visits(*[read_array(file[VISITS], name, np.int32) for name in ("count", "wrong")])


def _check_sizes(track: Track, path: str | Path) -> None:
    sizes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
        name: (part.values.shape, (len(part.epochs), track.num_rows)) for name, part in track.quantities.items()
    }
    if track.visits is not None:
        counts = {"count": track.visits.count, "wrong": track.visits.wrong}
        sizes |= {f"{VISITS}/{name}": (values.shape, (track.num_rows,)) for name, values in counts.items()}
    for name, (found, expected) in sizes.items():
        if found != expected:
            raise ArtifactError(f"expected {name} of shape {expected}, got {found} in {path}; train the run again")
    for name, part in track.quantities.items():
        if (np.diff(part.epochs) <= 0).any() or part.epochs.min(initial=1) < 1:
            raise ArtifactError(
                f"expected ascending epochs from 1 for {name} in {path}, got {part.epochs.tolist()[:5]}"
            )
    visits = track.visits
    if visits is not None and ((visits.wrong < 0).any() or (visits.wrong > visits.count).any()):
        raise ArtifactError(f"expected no more wrong visits than visits in {path}, got others; train the run again")
