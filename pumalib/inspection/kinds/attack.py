"""Attack tables: accuracies by class, and the norms of perturbations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pumalib.data.datasets import read_class_names, split_fingerprint
from pumalib.errors import ArtifactError, ResourceError
from pumalib.evaluation.table import StoredAttack, read_attack, read_points
from pumalib.files.artifacts import expect_fingerprint, open_artifact, read_array, read_texts, stored
from pumalib.inspection.inspection import Inspection, Table, distribution
from pumalib.inspection.pixels import map_images
from pumalib.inspection.samples import Samples, extremes
from pumalib.lineage.headers import Header
from pumalib.lineage.links import input_path
from pumalib.lineage.places import place_of
from pumalib.lineage.version_1 import find_dataset


def describe(header: Header, count: int) -> Inspection:
    """Describe accuracies; where the dataset is there, with the names of classes."""
    table, norms = read_attack(header.path), _norms(header)
    right = table.clean_prediction == table.label
    fooled = right & (table.adversarial_prediction != table.label)
    facts = {
        "images": len(table.label),
        "split": table.split,
        "clean_accuracy": table.clean_accuracy,
        "robust_accuracy": table.robust_accuracy,
        "images_fooled": int(fooled.sum()),
        **{name: header.attributes[name] for name in ("variant",) if name in header.attributes},
    }
    what = f"what a model predicts for {len(table.label)} images, clean and under {table.method}"
    norm = f"norm of the perturbation ({header.settings['threat']['norm']}, pixel scale; images right when clean)"
    spread = (distribution(norm, norms[right]),)
    try:
        rows = samples(header)
    except (ArtifactError, ResourceError) as error:
        names = tuple(map(str, range(int(table.label.max()) + 1)))
        note = (f"names of classes are not known: {error}",)
        return Inspection(what, facts, (_by_class(table, names),), spread, note)
    return Inspection(what, facts, (_by_class(table, rows.class_names), *extremes(rows, count)), spread)


def samples(header: Header) -> Samples:
    """Read the attacked images: hardest are those wrong when clean, then those fooled, by the norm it took."""
    table, norms = read_attack(header.path), _norms(header)
    dataset = _dataset(header, table.split)
    images = map_images(dataset, "dataset", table.split)
    with open_artifact(dataset, "dataset") as file:
        files = read_texts(file[table.split], "files", len(images))
    with open_artifact(header.path, "attack") as file:
        has_points = "points" in file
    is_right = table.clean_prediction == table.label
    is_robust = table.adversarial_prediction == table.label
    outcome = np.where(is_robust, "robust", np.where(is_right, "fooled", "wrong when clean"))
    return Samples(
        rows=table.row,
        class_names=read_class_names(dataset),
        labels=table.label,
        groups=outcome,
        images=lambda positions: images[table.row[positions]],
        predictions={"clean prediction": table.clean_prediction, "under attack": table.adversarial_prediction},
        values={"norm": norms},
        hardness=_hardness(is_right, is_robust, norms),
        files=None if files is None else files[table.row],
        points=(lambda positions: read_points(header.path)[positions]) if has_points else None,
    )


def _dataset(header: Header, split: str) -> Path:
    recorded = header.inputs["dataset"].fingerprint
    if header.version > 1:
        path = input_path(header, "dataset")
        expect_fingerprint(split_fingerprint(path, split), recorded, "dataset", path)
        return path
    place = place_of(header.path)
    return find_dataset(place.folder, recorded, split, place.seed)


def _hardness(
    is_right: NDArray[np.bool_], is_robust: NDArray[np.bool_], norms: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Order images by outcome, and within one by the norm: of a shorter perturbation is harder."""
    ranks = np.argsort(np.argsort(norms, kind="stable"), kind="stable") / len(norms)
    return np.asarray(np.where(is_robust, 0.0, np.where(is_right, 1.0, 2.0)) + 1 - ranks)


def _norms(header: Header) -> NDArray[np.float32]:
    with open_artifact(header.path, "attack") as file:
        norms: NDArray[np.float32] = read_array(file, "perturbation_norm", np.float32)
        if len(norms) != len(stored(file, "label")) or not (norms >= 0).all():
            raise ArtifactError(f"expected a norm of at least 0 for each image in {header.path}")
        return norms


def _by_class(table: StoredAttack, class_names: tuple[str, ...]) -> Table:
    rows = []
    for label, name in enumerate(class_names):
        inside = table.label == label
        right = [column[inside] == label for column in (table.clean_prediction, table.adversarial_prediction)]
        shares = [float(column.mean()) if inside.any() else None for column in right]
        rows.append((name, int(inside.sum()), *shares))
    return Table("accuracy by class", ("class", "images", "clean", "robust"), tuple(rows))
