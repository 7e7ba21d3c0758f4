"""Images in files, read without loading them whole. Imports no torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pumalib.data.image_groups import expect_images_as_written
from pumalib.data.image_groups import map_images as map_group
from pumalib.data.image_readers import Images
from pumalib.data.images import subset_rows
from pumalib.files.artifacts import open_artifact
from pumalib.inspection.inspection import Distribution, distribution

_NUM_LOOKED_AT = 1000


def map_images(path: Path, kind: str, group: str) -> Images:
    """Return the images of a group [N, H, W, C] uint8, memory-mapped; each is read once, to be held to the fingerprint.

    Raises:
        ArtifactError: other images than were written.
    """
    with open_artifact(path, kind) as file:
        expect_images_as_written(file[group])
        return map_group(file[group])


def pixel_distribution(images: Images) -> Distribution:
    """Describe the pixels of up to 1000 images, drawn at random but the same each time, on the pixel scale [0, 1]."""
    rows = subset_rows(np.zeros(len(images), np.int64), _NUM_LOOKED_AT, "pixels")
    name = "pixels" if len(rows) == len(images) else f"pixels of {len(rows)} images drawn at random"
    return distribution(name, images[rows] / 255)
