"""Attack tables on disk. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import ArtifactError
from pumalib.files.artifacts import open_artifact, read_array, stored
from pumalib.files.origin import fingerprint_in


@dataclass(frozen=True)
class StoredAttack:
    """An attack table as results read it.

    Attributes:
        row: [N] int64 ascending, numbers of the images in the split.
        selection: fingerprint of the selection that its model was trained on; "": not recorded.
    """

    row: NDArray[np.int64]
    label: NDArray[np.int64]
    clean_prediction: NDArray[np.int64]
    adversarial_prediction: NDArray[np.int64]
    method: str
    split: str
    selection: str

    @property
    def clean_accuracy(self) -> float:
        """Share of images rightly classified."""
        return float((self.clean_prediction == self.label).mean())

    @property
    def robust_accuracy(self) -> float:
        """Share of images rightly classified under the attack."""
        return float((self.adversarial_prediction == self.label).mean())


@dataclass(frozen=True)
class StoredNorms:
    """The table of a minimum-norm attack, as robustness curves read it.

    Attributes:
        row: [N], numbers of the images in the split.
        label: [N].
        radius: [N], the shortest norm found; -inf where the clean prediction is wrong, inf where nothing was found.
    """

    row: NDArray[np.int64]
    label: NDArray[np.int64]
    radius: NDArray[np.float32]

    def accuracies(self, epsilons: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of images that are robust at each epsilon [E] of at least 0."""
        is_robust = self.radius[:, None] >= epsilons.astype(np.float32)
        return np.asarray(is_robust.mean(0), np.float64)


def _expect_own_numbers(
    columns: dict[str, NDArray[np.int64]], success: NDArray[np.bool_] | None, path: str | Path
) -> None:
    """Refuse a table whose columns contradict each other."""
    label, clean, adversarial, row = (
        columns[name] for name in ("label", "clean_prediction", "adversarial_prediction", "row")
    )
    was_fooled = (clean == label) & (adversarial != label)
    if (
        (success is not None and not np.array_equal(success, was_fooled))
        or min(column.min() for column in (label, clean, adversarial, row)) < 0
        or (np.diff(row) <= 0).any()
    ):
        raise ArtifactError(
            f"expected labels, predictions, rows and success to agree in {path}, got columns that contradict each "
            "other; make it again"
        )


def read_shortest_norms(path: str | Path) -> StoredNorms:
    """Read the shortest perturbations that a minimum-norm attack found.

    Raises:
        ArtifactError: missing, damaged, of another kind or of another attack.
    """
    table = read_attack(path)
    if table.method != "minimum_norm":
        raise ArtifactError(f"expected the table of a minimum_norm attack, got one of {table.method} at {path}")
    with open_artifact(path, "attack") as file:
        norms = read_array(file, "perturbation_norm", np.float32)
    if len(norms) != len(table.label) or not (norms >= 0).all():
        raise ArtifactError(f"expected a norm of at least 0 for each of {len(table.label)} images in {path}")
    return StoredNorms(
        table.row, table.label, np.where(table.clean_prediction == table.label, norms, np.float32(-np.inf))
    )


def read_points(path: str | Path) -> NDArray[np.floating]:
    """Read the points [N, H, W, C] that an attack kept, on the pixel scale.

    Raises:
        ArtifactError: missing, damaged or of another kind; a table that keeps none, or not one finite point per image.
    """
    count = len(read_attack(path).label)
    with open_artifact(path, "attack") as file:
        if "points" not in file:
            raise ArtifactError(
                f"expected the points of the attack in {path}, got none; say `keep_points: true` in the attack and run "
                "again"
            )
        # A network in float64 is attacked in float64.
        dtype = np.float64 if stored(file, "points").dtype == np.float64 else np.float32
        points: NDArray[np.floating] = read_array(file, "points", dtype, 4)
    if len(points) != count or not all(np.isfinite(point).all() for point in points):
        raise ArtifactError(f"expected a finite point for each of {count} images in {path}; make it again")
    return points


def read_attack(path: str | Path) -> StoredAttack:
    """Read an attack table.

    Raises:
        ArtifactError: missing, damaged, of another kind, or with columns of other lengths.
    """
    with open_artifact(path, "attack") as file:
        names = ("label", "clean_prediction", "adversarial_prediction")
        columns = {name: read_array(file, name, np.int64) for name in names}
        # Before rows were recorded, the first ones were attacked.
        columns["row"] = read_array(file, "row", np.int64) if "row" in file else np.arange(len(columns["label"]))
        success = read_array(file, "success", np.bool_) if "success" in file else None
        method, split = str(file.attrs["method"]), str(file.attrs["split"])
        selection = fingerprint_in(json.loads(file.attrs["inputs"]), "selection of model")
    if len({len(column) for column in columns.values()}) != 1 or len(columns["label"]) == 0:
        raise ArtifactError(f"expected columns of one length above 0 in {path}; make it again")
    _expect_own_numbers(columns, success, path)
    return StoredAttack(method=method, split=split, selection=selection, **columns)
