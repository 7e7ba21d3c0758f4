"""The pool that a file belongs to, found through the study's folder. Imports no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pumalib.data.pool import SOURCE_NAMES, Pool, PoolRows, open_pool, read_pool_rows
from pumalib.files.artifacts import expect_fingerprint
from pumalib.inspection.samples import Samples
from pumalib.lineage.headers import Header
from pumalib.lineage.links import input_path
from pumalib.lineage.places import place_of
from pumalib.lineage.version_1 import find_pool


def pool_of(header: Header) -> Pool:
    """Open the pool that a file belongs to.

    Raises:
        ArtifactError: it, or a file that it stands in, is not there or another one; the message says which.
    """
    path = _pool_path(header)
    pool = open_pool(path)
    expect_fingerprint(pool.fingerprint, str(header.attributes["pool_fingerprint"]), "pool", path)
    return pool


def pool_rows_of(header: Header) -> PoolRows:
    """Read labels and sources of the pool that a file belongs to.

    Raises:
        ArtifactError: as `pool_of`.
    """
    path = _pool_path(header)
    rows = read_pool_rows(path)
    expect_fingerprint(rows.fingerprint, str(header.attributes["pool_fingerprint"]), "pool", path)
    return rows


def _pool_path(header: Header) -> Path:
    if header.version > 1:
        return input_path(header, "pool")
    place = place_of(header.path)
    return find_pool(place.folder, str(header.attributes["pool_fingerprint"]), place.seed)


def rows_of(pool: Pool) -> Samples:
    """Return every row of a pool, by source."""
    return Samples(
        rows=np.arange(len(pool)),
        class_names=pool.class_names,
        labels=pool.labels,
        groups=np.asarray(SOURCE_NAMES)[pool.source],
        images=pool.images.__getitem__,
        files=pool.read_files(),
        predictions={},
        values={},
    )
