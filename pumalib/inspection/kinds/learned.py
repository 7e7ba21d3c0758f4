"""Learned pools: rows by class and source of the row that each was learned from."""

from __future__ import annotations

import numpy as np

from pumalib.data.pool import SOURCE_NAMES
from pumalib.files.artifacts import open_artifact, read_array
from pumalib.inspection.inspection import Inspection, class_counts
from pumalib.inspection.pixels import map_images, pixel_distribution
from pumalib.inspection.samples import Samples
from pumalib.lineage.headers import Header


def describe(header: Header, count: int) -> Inspection:
    """Count rows by class and source."""
    rows, images = samples(header), map_images(header.path, "learned", "/")
    learned = header.settings["learned"]
    return Inspection(
        f"{len(rows.rows)} images learned for the rows of pool {learned['pool']} by {learned['method']}",
        {"image_shape": list(images.shape[1:])},
        (class_counts("rows by class and source", rows.labels, rows.groups, rows.class_names),),
        (pixel_distribution(images),),
    )


def samples(header: Header) -> Samples:
    """Read the learned rows."""
    with open_artifact(header.path, "learned") as file:
        labels, source = read_array(file, "labels", np.int64), read_array(file, "source", np.uint8)
    images = map_images(header.path, "learned", "/")
    return Samples(
        rows=np.arange(len(labels)),
        class_names=tuple(header.attributes["class_names"]),
        labels=labels,
        groups=np.asarray(SOURCE_NAMES)[source],
        images=lambda positions: images[positions],
        predictions={},
        values={},
    )
