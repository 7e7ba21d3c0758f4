"""Datasets: every split, by class."""

from __future__ import annotations

import numpy as np

from pumalib.data.datasets import SPLITS
from pumalib.data.image_readers import JoinedImages
from pumalib.files.artifacts import open_artifact, read_array, read_texts
from pumalib.inspection.inspection import Inspection, class_counts
from pumalib.inspection.pixels import map_images, pixel_distribution
from pumalib.inspection.samples import Samples
from pumalib.lineage.headers import Header


def describe(header: Header, count: int) -> Inspection:
    """Count rows by class and split."""
    rows = samples(header)
    train = map_images(header.path, "dataset", "train")
    facts = {"image_shape": list(train.shape[1:]), "classes": len(rows.class_names)}
    return Inspection(
        f"a dataset of {len(rows.rows)} real images, divided once",
        facts,
        (class_counts("rows by class and split", rows.labels, rows.groups, rows.class_names),),
        (pixel_distribution(train),),
    )


def samples(header: Header) -> Samples:
    """Read the rows of all splits; numbers begin anew in each, in the order train, validation, test, held-out."""
    with open_artifact(header.path, "dataset") as file:
        labels = {split: read_array(file[split], "labels", np.int64) for split in SPLITS if split in file}
        names = [read_texts(file[split], "files", len(part)) for split, part in labels.items()]
        known = [each for each in names if each is not None]
    images = JoinedImages(tuple(map_images(header.path, "dataset", split) for split in labels))

    return Samples(
        rows=np.concatenate([np.arange(len(part)) for part in labels.values()]),
        class_names=tuple(header.attributes["class_names"]),
        labels=np.concatenate(list(labels.values())),
        groups=np.repeat(list(labels), [len(part) for part in labels.values()]),
        images=images.__getitem__,
        predictions={},
        values={},
        files=np.concatenate(known) if len(known) == len(labels) else None,
    )
