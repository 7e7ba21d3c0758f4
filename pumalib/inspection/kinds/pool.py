"""Pools: rows by class and source, and the files they stand in."""

from __future__ import annotations

import json

from pumalib.data.pool import open_pool
from pumalib.inspection.inspection import Inspection, class_counts
from pumalib.inspection.pixels import pixel_distribution
from pumalib.inspection.pools import rows_of
from pumalib.inspection.samples import Samples
from pumalib.lineage.headers import Header


def describe(header: Header, count: int) -> Inspection:
    """Count rows by class and source."""
    pool, rows = open_pool(header.path), samples(header)
    sources = [
        f"{part['path']} ({part['group']}, {part['rows']} rows)" for part in json.loads(header.attributes["sources"])
    ]
    facts = {"image_shape": list(pool.image_shape), "stands_in": sources}
    return Inspection(
        f"a pool of {len(pool)} training candidates",
        facts,
        (class_counts("rows by class and source", rows.labels, rows.groups, rows.class_names),),
        (pixel_distribution(pool.images),),
    )


def samples(header: Header) -> Samples:
    """Read the rows of a pool."""
    return rows_of(open_pool(header.path))
