"""The images of an attack table: robust, fooled, or wrong when clean. Imports no torch."""

from __future__ import annotations

import numpy as np

from pumalib.browsing.collection import Collection, Facet
from pumalib.errors import ArtifactError
from pumalib.inspection.kinds.attack import samples
from pumalib.lineage.headers import Header
from pumalib.lineage.places import place_of

OUTCOMES = ("robust", "fooled", "wrong when clean")


def attacked_images(header: Header) -> Collection:
    """Read the images that a model was attacked on.

    Args:
        header: of an attack table in the folder of its study.

    Raises:
        ArtifactError: another kind of file; or it, or the dataset, is missing or damaged.
    """
    if header.kind != "attack":
        raise ArtifactError(f"expected an attack table, got {header.noun} at {header.path}")
    found, place = samples(header), place_of(header.path)
    codes = np.array([OUTCOMES.index(outcome) for outcome in found.groups.tolist()], np.int64)
    return Collection(
        name=f"{place.attack} on {place.name}{'' if place.epoch is None else f' after epoch {place.epoch}'}",
        rows=found.rows,
        class_names=found.class_names,
        labels=found.labels,
        facets={"outcome": Facet(OUTCOMES, codes)},
        predictions=found.predictions,
        values={"norm of the perturbation": found.values["norm"].astype(np.float32)},
        images=found.images,
        files=found.files,
        notes=(f"Images of the {header.attributes['split']} split, under attack.",),
    )
