"""Asking a model again at the points that an attack kept: are its flags what the table says?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pumalib.attacks.inputs import check_inputs, images_a_batch
from pumalib.attacks.objectives import cw_margin
from pumalib.attacks.projection import norms
from pumalib.attacks.threat_settings import Norm, ThreatSettings
from pumalib.data.datasets import read_split, split_fingerprint
from pumalib.data.image_readers import read_all
from pumalib.data.images import LabelledImages
from pumalib.errors import ArtifactError
from pumalib.evaluation.evaluate import farthest_allowed
from pumalib.evaluation.table import StoredAttack, read_attack, read_points
from pumalib.files.artifacts import expect_fingerprint, open_artifact, recorded_inputs
from pumalib.models.folding import Folding
from pumalib.models.inputs import to_model_input
from pumalib.models.network import Network
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import load_trained

_RANGE_TOLERANCE = 1e-6
"""How far beyond [0, 1] a pixel may lie, as in images that an attack is given: some units of float32 rounding."""

_NAMED = 5
"""Rows that a sentence names."""


@dataclass(frozen=True)
class Recheck:
    """What a model says at the points of an attack table.

    Attributes:
        row: [N] int64, numbers of the images in the split.
        agrees: [N] bool, whether both flags of an image are the table's: right when clean, and right at the point.
        is_near: [N] bool, whether a flag differs only where two logits are level but for float rounding, which changes
            with the images that share a batch.
        distance: [N] float32, of the point from the image, pixel scale.
        in_range: [N] bool, whether all pixels of the point lie in [0, 1].
        norm: of the distances.
        epsilon: radius of the ball, pixel scale.
    """

    row: NDArray[np.int64]
    agrees: NDArray[np.bool_]
    is_near: NDArray[np.bool_]
    distance: NDArray[np.float32]
    in_range: NDArray[np.bool_]
    norm: Norm
    epsilon: float

    @property
    def in_ball(self) -> NDArray[np.bool_]:
        """Whether each point [N] lies in the ball, but for rounding; see `evaluate.farthest_allowed`."""
        return np.asarray(self.distance <= farthest_allowed(self.epsilon), np.bool_)

    @property
    def problems(self) -> dict[str, NDArray[np.int64]]:
        """Rows [P] with each problem that some have."""
        found = {
            "flags that are not the table's": self.row[~self.agrees & ~self.is_near],
            "points outside the ball": self.row[~self.in_ball],
            "points outside the pixel range [0, 1]": self.row[~self.in_range],
        }
        return {what: rows for what, rows in found.items() if len(rows)}

    def __str__(self) -> str:
        """Say in one line how many flags agree, and where the points lie."""
        num_near = int((~self.agrees & self.is_near).sum())
        parts = [f"the flags of {int(self.agrees.sum())} of {len(self.row)} images agree"]
        if num_near:
            parts.append(f"{num_near} differ only by float rounding at a boundary")
        parts.append(f"farthest point {self.distance.max():.7g} ({self.norm}), epsilon {self.epsilon:.7g}")
        parts += [f"{what}: {_named(rows)}" for what, rows in self.problems.items()]
        return "; ".join(parts if self.problems else [*parts, "all points in the ball and in [0, 1]"])


def _named(rows: NDArray[np.int64]) -> str:
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(map(str, rows[:_NAMED]))}{more}"


def recheck(
    table: str | Path,
    *,
    model: str | Path,
    dataset: str | Path,
    device: str = "cpu",
    architecture: ArchitectureSettings | None = None,
) -> Recheck:
    """Ask a model again for its predictions at the images of an attack table, and at the points that the table keeps.

    Args:
        table: attack table with points (`keep_points: true`).
        model: the weights that were attacked.
        dataset: file of the images that were attacked.
        device: a torch device, such as `cpu` or `cuda`.
        architecture: of the model; needed for a class of your own.

    Returns:
        For each image, whether model and table agree, and whether the point lies in the ball.

    Raises:
        ArtifactError: missing or damaged files, a table without points, or another model or dataset than attacked.

    Example:
        >>> found = recheck(
        ...     "results/digits/attacks/puma-20/seed0/cw.h5",
        ...     model="results/digits/models/puma-20/seed0/model.safetensors",
        ...     dataset="results/digits/datasets/digits/seed0.h5",
        ... )
        >>> found.problems
        {}
    """
    stored, points = read_attack(table), read_points(table)
    trained = load_trained(model, device, architecture)
    inputs = recorded_inputs(table, "attack")
    expect_fingerprint(trained.fingerprint, inputs["model"].fingerprint, "model", model)
    expect_fingerprint(split_fingerprint(dataset, stored.split), inputs["dataset"].fingerprint, "dataset", dataset)
    images = _attacked(stored, points, read_split(Path(dataset), stored.split), table)
    settings = _settings(table)
    network, pixels, labels = check_inputs(
        trained.model, to_model_input(torch.from_numpy(read_all(images.images))), images.labels, (0.0, 1.0), False
    )
    size = images_a_batch(settings.get("batch_size"), tuple(pixels.shape[1:]))
    moved = torch.from_numpy(points).permute(0, 3, 1, 2).contiguous()
    clean, attacked = _look(network, pixels, labels, size), _look(network, moved, labels, size)
    differs_clean = clean.is_right != (stored.clean_prediction == stored.label)
    differs_attacked = attacked.is_right != (stored.adversarial_prediction == stored.label)
    threat = ThreatSettings.model_validate(settings["threat"])
    norm: Norm = settings.get("norm") or threat.norm
    return Recheck(
        row=stored.row,
        agrees=~differs_clean & ~differs_attacked,
        is_near=(~differs_clean | clean.is_near) & (~differs_attacked | attacked.is_near),
        distance=norms(moved - pixels, norm).float().numpy(),
        in_range=((moved - 0.5).abs().flatten(1).amax(1) <= 0.5 + _RANGE_TOLERANCE).numpy(),
        norm=norm,
        epsilon=0.0 if stored.method == "clean" else settings.get("epsilon") or threat.epsilon,
    )


def _attacked(stored: StoredAttack, points: NDArray[Any], split: LabelledImages, table: str | Path) -> LabelledImages:
    """Return the images of a table, after holding its rows, labels and points to them."""
    if stored.row[-1] < len(split) and points.shape[1:] == split.images.shape[1:]:
        images = split.take(stored.row)
        if np.array_equal(images.labels, stored.label):
            return images
    raise ArtifactError(
        f"expected rows, labels and points of the split {stored.split} of {len(split)} images in {table}, got others; "
        "make it again"
    )


def _settings(table: str | Path) -> dict[str, Any]:
    with open_artifact(table, "attack") as file:
        settings: dict[str, Any] = json.loads(file.attrs["settings"])
    return settings


@dataclass(frozen=True)
class _Look:
    """Whether predictions are right, and whether two logits are level but for rounding; [N] each."""

    is_right: NDArray[np.bool_]
    is_near: NDArray[np.bool_]


@torch.no_grad()
def _look(network: Network, points: Tensor, labels: Tensor, size: int) -> _Look:
    """Ask a network as an attack does, a batch at a time."""
    parts: list[Sequence[Tensor]] = []
    with Folding(network.module).applied():
        for start in range(0, len(points), size):
            logits = network(points[start : start + size].to(network.device))
            wanted = labels[start : start + size].to(network.device)
            is_level = cw_margin(logits, wanted).abs() <= network.rounding * logits.abs().amax(1)
            parts.append(((logits.argmax(1) == wanted).cpu(), is_level.cpu()))
    network.expect_finite(points)
    return _Look(*(torch.cat(column).numpy() for column in zip(*parts, strict=True)))
