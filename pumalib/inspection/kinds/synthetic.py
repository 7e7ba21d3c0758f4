"""Synthetic sets: rows by class, how many have a wrong label on purpose, and the margins that were asked for."""

from __future__ import annotations

import numpy as np

from pumalib.files.artifacts import open_artifact, read_array
from pumalib.inspection.inspection import Inspection, class_counts, distribution
from pumalib.inspection.pixels import map_images, pixel_distribution
from pumalib.inspection.samples import Samples
from pumalib.lineage.headers import Header


def describe(header: Header, count: int) -> Inspection:
    """Count rows by class."""
    rows, images = samples(header), map_images(header.path, "synthetic", "/")
    facts = {"image_shape": list(images.shape[1:]), "method": header.settings["method"]}
    if "true label" in rows.predictions:
        facts["wrong_labels"] = int((rows.predictions["true label"] != rows.labels).sum())
    return Inspection(
        f"a synthetic set of {len(rows.rows)} images",
        facts,
        (class_counts("rows by class", rows.labels, rows.groups, rows.class_names),),
        (pixel_distribution(images), *(distribution(name, margins) for name, margins in rows.values.items())),
    )


def samples(header: Header) -> Samples:
    """Read the rows of a synthetic set; their classes have numbers for names, which stand in the pool alone."""
    with open_artifact(header.path, "synthetic") as file:
        labels = read_array(file, "labels", np.int64)
        true = {"true label": read_array(file, "true_labels", np.int64)} if "true_labels" in file else {}
        asked = {"asked margin": read_array(file, "asked_margin", np.float32)} if "asked_margin" in file else {}
    images = map_images(header.path, "synthetic", "/")
    num_classes = 1 + max(int(column.max()) for column in (labels, *true.values()))
    return Samples(
        rows=np.arange(len(labels)),
        class_names=tuple(map(str, range(num_classes))),
        labels=labels,
        groups=np.full(len(labels), "synthetic"),
        images=lambda positions: images[positions],
        predictions=true,
        values=asked,
    )
