"""The pool that a file belongs to, found through the study's folder. Imports no torch."""

from __future__ import annotations

import numpy as np

from pumalib.data.pool import SOURCE_NAMES, Pool, open_pool
from pumalib.inspection.samples import Samples
from pumalib.lineage.headers import Header
from pumalib.lineage.places import find_pool, place_of


def pool_of(header: Header) -> Pool:
    """Open the pool that a file belongs to.

    Raises:
        ArtifactError: it, or a file that it stands in, is not there; the message says which.
    """
    place = place_of(header.path)
    return open_pool(find_pool(place.folder, str(header.attributes["pool_fingerprint"]), place.seed))


def rows_of(pool: Pool) -> Samples:
    """Return every row of a pool, by source."""
    return Samples(
        rows=np.arange(len(pool)),
        class_names=pool.class_names,
        labels=pool.labels,
        groups=np.asarray(SOURCE_NAMES)[pool.source],
        images=pool.images.__getitem__,
        predictions={},
        values={},
    )
