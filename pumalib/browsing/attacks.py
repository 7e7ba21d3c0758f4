"""The images of an attack table: robust, fooled, or wrong when clean. Imports no torch."""

from __future__ import annotations

import numpy as np

from pumalib.browsing.collection import Collection, Facet
from pumalib.browsing.moved import Moved
from pumalib.errors import ArtifactError
from pumalib.evaluation.table import read_attack, read_points
from pumalib.files.artifacts import open_artifact
from pumalib.inspection.kinds.attack import samples
from pumalib.lineage.headers import Header
from pumalib.lineage.places import place_of

OUTCOMES = ("robust", "fooled", "wrong when clean")
_NOT_ATTACKED = 2
"""The outcome without a perturbation, and so without a norm."""


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
    moved = kept_points(header)
    return Collection(
        name=f"{place.attack} on {place.name}{'' if place.epoch is None else f' after epoch {place.epoch}'}",
        rows=found.rows,
        class_names=found.class_names,
        labels=found.labels,
        facets={"outcome": Facet(OUTCOMES, codes)},
        predictions=found.predictions,
        values={"norm": np.where(codes == _NOT_ATTACKED, np.float32(np.nan), found.values["norm"]).astype(np.float32)},
        images=found.images,
        files=found.files,
        moved=moved,
        notes=(f"Images of the {header.attributes['split']} split, under attack.", *_without(moved)),
    )


def kept_points(header: Header) -> Moved | None:
    """Read the points that an attack kept of images that were right when clean; None: it kept none."""
    with open_artifact(header.path, "attack") as file:
        if "points" not in file:
            return None
    table = read_attack(header.path)
    attacked = np.flatnonzero(table.clean_prediction == table.label)
    return Moved(attacked, read_points(header.path)[attacked], table.adversarial_prediction[attacked])


def _without(moved: Moved | None) -> tuple[str, ...]:
    return () if moved is not None else ("The attack kept no perturbed images; `keep_points: true` keeps them.",)
