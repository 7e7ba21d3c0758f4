"""The worst case over attacks on one model, image by image, from their tables. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pumalib.attacks.settings import NOT_THE_ATTACK, WorstOfSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import ArtifactError
from pumalib.evaluation.table import StoredAttack, read_attack, read_points
from pumalib.files.artifacts import create_artifact, file_fingerprint, open_artifact, read_array, recorded_inputs
from pumalib.files.origin import NOBODY, Input, Maker

_SHARED_INPUTS = {"model": "model", "dataset": "dataset", "selection of model": "selection"}
"""What all attacks of one run and seed were made from, and how a message names it."""


@dataclass(frozen=True)
class _Table:
    """The table of one attack.

    Attributes:
        path: where it lies.
        stored: what results read of it.
        norm: [N] float32, of the perturbations, pixel scale.
        inputs: what it was made from.
    """

    path: Path
    stored: StoredAttack
    norm: NDArray[np.float32]
    inputs: Mapping[str, Input]

    @property
    def success(self) -> NDArray[np.bool_]:
        """Which images [N] are right when clean, and fooled."""
        label = self.stored.label
        is_right, is_fooled = self.stored.clean_prediction == label, self.stored.adversarial_prediction != label
        return np.asarray(is_right & is_fooled, np.bool_)


def write_worst_case(
    settings: WorstOfSettings,
    threat: ThreatSettings,
    paths: Sequence[Path],
    output: Path,
    *,
    seed: int,
    maker: Maker = NOBODY,
) -> None:
    """Write the attack table of the worst case over attacks: an image is robust if it withstands each of them.

    The prediction, the norm and the point of an image are those of the first attack that fools it; where none does, of
    the first attack.

    Args:
        settings: the worst case.
        threat: norm and epsilon unless the attacks say otherwise; recorded.
        paths: tables of its attacks, in their order.
        output: the HDF5 file to write.
        seed: that the attacks are of; recorded.
        maker: the job.

    Raises:
        ArtifactError: damaged tables, or tables of other images or another model than each other.
    """
    tables = [_read(path) for path in paths]
    first = tables[0]
    for table in tables[1:]:
        _expect_same_images(table, first)
    inputs = {role: first.inputs[role] for role in _SHARED_INPUTS if role in first.inputs}
    for name, table in zip(settings.attacks, tables, strict=True):
        inputs[f"attack {name}"] = Input(table.path, file_fingerprint(table.path))
    resolved = {**settings.model_dump(exclude=set(NOT_THE_ATTACK)), "threat": threat.model_dump(), "seed": seed}
    chosen = np.stack([table.success for table in tables]).argmax(0)  # where none fools the image, the first
    columns = _worst_columns(tables, chosen)
    if settings.keep_points:
        columns["points"] = _worst_points(paths, chosen)
    with create_artifact(output, "attack", maker.origin(resolved, inputs)) as file:
        file.attrs["method"] = settings.method
        file.attrs["split"] = first.stored.split
        for name, column in columns.items():
            file.create_dataset(name, data=column)


def _worst_columns(tables: Sequence[_Table], chosen: NDArray[np.intp]) -> dict[str, NDArray[np.generic]]:
    """Return the columns [N] of the worst case over tables of the same images, of which one is chosen an image."""
    image, stored = np.arange(len(chosen)), tables[0].stored
    return {
        "row": stored.row,
        "label": stored.label,
        "clean_prediction": stored.clean_prediction,
        "adversarial_prediction": np.stack([table.stored.adversarial_prediction for table in tables])[chosen, image],
        "perturbation_norm": np.stack([table.norm for table in tables])[chosen, image],
        "success": np.stack([table.success for table in tables])[chosen, image],
    }


def _worst_points(paths: Sequence[Path], chosen: NDArray[np.intp]) -> NDArray[np.floating]:
    """Return the points [N, H, W, C] of the chosen tables."""
    points = read_points(paths[0])
    for index, path in enumerate(paths[1:], 1):
        others = read_points(path)
        if others.shape != points.shape:
            raise ArtifactError(
                f"expected points of one shape in the attacks of a worst_of, got {others.shape} in {path} and "
                f"{points.shape} in {paths[0]}; make them again"
            )
        points[chosen == index] = others[chosen == index]
    return points


def _read(path: Path) -> _Table:
    stored = read_attack(path)
    with open_artifact(path, "attack") as file:
        norm = read_array(file, "perturbation_norm", np.float32)
    if len(norm) != len(stored.label) or not (norm >= 0).all():
        raise ArtifactError(
            f"expected a norm of at least 0 for each of {len(stored.label)} images in {path}; make it again"
        )
    return _Table(path, stored, norm, recorded_inputs(path, "attack"))


def _expect_same_images(table: _Table, first: _Table) -> None:
    """Refuse tables that cannot be compared image by image."""
    for role, noun in _SHARED_INPUTS.items():
        got, wanted = (each.inputs[role].fingerprint if role in each.inputs else "" for each in (table, first))
        if got != wanted:
            raise ArtifactError(_refusal(f"one {noun}", table, first))
    one, other = table.stored, first.stored
    if one.split != other.split or not np.array_equal(one.row, other.row):
        raise ArtifactError(_refusal("the same images", table, first))
    if not np.array_equal(one.label, other.label):
        raise ArtifactError(_refusal("one label per image", table, first))
    if not np.array_equal(one.clean_prediction, other.clean_prediction):
        raise ArtifactError(_refusal("one clean prediction an image", table, first))


def _refusal(expected: str, table: _Table, first: _Table) -> str:
    return (
        f"expected {expected} in the attacks of a worst_of, got others in {table.path} and {first.path}; "
        "make them again"
    )
