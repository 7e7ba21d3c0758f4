"""The selection file: which rows of a pool a run keeps, and the epsilon of each. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import ArtifactError
from pumalib.files.artifacts import content_fingerprint, create_artifact, expect_fingerprint, open_artifact, read_array
from pumalib.files.origin import Origin


@dataclass(frozen=True)
class StoredSelection:
    """A selection as its file holds it; see docs/artifacts.md.

    Attributes:
        rows: [K] int64, the rows that are kept, ascending.
        epsilons: [K] float32, signed, pixel scale.
        reason: [N] int16, number of the cut that removed a row, -1 where it is kept.
        pool_fingerprint: of the pool.
        mean_epsilon: pixel scale, over the rows as training draws them; nan where training finds epsilons.
        cuts: label of each cut, and the score of the last row that it removed.
        attack_steps: [K] int64, steps of the inner attack of each row; None: training's, for all.
        mean_attack_steps: over the rows as training draws them; None where rows have no steps of their own.
        labels: [K] int64, the label that each row is trained under; None: the pool's labels.
        num_relabelled: how many of these differ from the pool's; None where rows have no labels of their own.
    """

    rows: NDArray[np.int64]
    epsilons: NDArray[np.float32]
    reason: NDArray[np.int16]
    pool_fingerprint: str
    mean_epsilon: float
    cuts: tuple[tuple[str, float], ...]
    attack_steps: NDArray[np.int64] | None = None
    mean_attack_steps: float | None = None
    labels: NDArray[np.int64] | None = None
    num_relabelled: int | None = None

    @property
    def fingerprint(self) -> str:
        """Hash of the rows, the epsilons, and the attack steps and labels where rows have their own."""
        steps = () if self.attack_steps is None else (self.attack_steps,)
        labels = () if self.labels is None else (self.labels,)
        return content_fingerprint(self.rows, self.epsilons, *steps, *labels)

    @property
    def pruned_fraction(self) -> float:
        """Rows removed over rows in the pool."""
        return 1 - len(self.rows) / len(self.reason)


def write_selection(
    selection: StoredSelection, counts: Mapping[str, Mapping[str, int]], output: Path, origin: Origin
) -> None:
    """Store a selection.

    Args:
        selection: what is kept.
        counts: rows kept of each source and class.
        output: the HDF5 file to write.
        origin: what made it.
    """
    with create_artifact(output, "selection", origin) as file:
        file.attrs["pool_fingerprint"] = selection.pool_fingerprint
        file.attrs["mean_epsilon"] = selection.mean_epsilon
        file.attrs["pruned_fraction"] = selection.pruned_fraction
        file.attrs["cuts"] = json.dumps([list(cut) for cut in selection.cuts])
        file.attrs["counts"] = json.dumps(counts)
        file.create_dataset("rows", data=selection.rows)
        file.create_dataset("epsilons", data=selection.epsilons)
        file.create_dataset("reason", data=selection.reason)
        if selection.attack_steps is not None:
            file.attrs["mean_attack_steps"] = selection.mean_attack_steps
            file.create_dataset("attack_steps", data=selection.attack_steps)
        if selection.labels is not None:
            file.attrs["num_relabelled"] = selection.num_relabelled
            file.create_dataset("labels", data=selection.labels)


def read_selection(path: str | Path, pool_fingerprint: str | None = None) -> StoredSelection:
    """Read which rows of a pool a run trains on, and the epsilon of each.

    Args:
        path: of the selection: `selections/<run>/seed<k>.h5` of a study.
        pool_fingerprint: of the pool that it must belong to; None: any.

    Returns:
        The K rows that are kept, their epsilons, and which cut removed each of the others.

    Raises:
        ArtifactError: missing, damaged, of another kind or pool, or columns that contradict each other.

    Example:
        >>> kept = read_selection("results/digits/selections/puma-20/seed0.h5")
        >>> len(kept.rows) == len(kept.epsilons) == int((kept.reason == -1).sum())
        True
        >>> 0 < kept.pruned_fraction < 1
        True
    """
    with open_artifact(path, "selection") as file:
        if pool_fingerprint is not None:
            expect_fingerprint(str(file.attrs["pool_fingerprint"]), pool_fingerprint, "pool", path)
        selection = StoredSelection(
            rows=read_array(file, "rows", np.int64),
            epsilons=read_array(file, "epsilons", np.float32),
            reason=read_array(file, "reason", np.int16),
            pool_fingerprint=str(file.attrs["pool_fingerprint"]),
            mean_epsilon=float(file.attrs["mean_epsilon"]),
            cuts=_read_cuts(file.attrs["cuts"]),
            attack_steps=read_array(file, "attack_steps", np.int64) if "attack_steps" in file else None,
            mean_attack_steps=float(file.attrs["mean_attack_steps"]) if "attack_steps" in file else None,
            labels=read_array(file, "labels", np.int64) if "labels" in file else None,
            num_relabelled=int(file.attrs["num_relabelled"]) if "labels" in file else None,
        )
        recorded = float(file.attrs.get("pruned_fraction", selection.pruned_fraction))
    kept = np.flatnonzero(selection.reason == -1)
    if len(selection.rows) != len(selection.epsilons) or not np.array_equal(kept, selection.rows):
        raise ArtifactError(f"expected rows, epsilons and reason to agree in {path}; make it again")
    _expect_own_numbers(selection, recorded, path)
    _expect_own_steps(selection, path)
    if selection.labels is not None and (selection.labels.shape != selection.rows.shape or selection.labels.min() < 0):
        raise ArtifactError(
            f"expected {len(selection.rows)} labels, one per row and at least 0, got {len(selection.labels)} in "
            f"{path}; make it again"
        )
    return selection


def _expect_own_numbers(selection: StoredSelection, pruned_fraction: float, path: str | Path) -> None:
    """Refuse a selection whose header says other numbers than its columns."""
    low, high = selection.epsilons.min(initial=np.inf), selection.epsilons.max(initial=-np.inf)
    mean, slack = selection.mean_epsilon, 1e-6 * max(1.0, abs(float(low)), abs(float(high)))
    if (
        not np.isfinite(selection.epsilons).all()
        or selection.reason.min(initial=-1) < -1
        or selection.reason.max(initial=-1) >= len(selection.cuts)
        or not (np.isnan(mean) or low - slack <= mean <= high + slack)
        or abs(selection.pruned_fraction - pruned_fraction) > 1e-9
    ):
        raise ArtifactError(
            f"expected finite epsilons around their mean {mean:g}, {len(selection.cuts)} cuts, and a share of "
            f"{pruned_fraction:g} pruned, as {path} says, got other columns; make it again"
        )


def _expect_own_steps(selection: StoredSelection, path: str | Path) -> None:
    """Refuse attack steps that are not one number per row, or lie on one side of their mean."""
    steps, mean = selection.attack_steps, selection.mean_attack_steps
    if steps is None or mean is None:
        return
    low, high = steps.min(initial=np.iinfo(np.int64).max), steps.max(initial=-1)
    if len(steps) != len(selection.rows) or low < 0 or not low - 1e-6 <= mean <= high + 1e-6:
        raise ArtifactError(
            f"expected {len(selection.rows)} numbers of attack steps, one per row and at least 0, around their mean "
            f"{mean:g}, got {len(steps)} from {low} to {high} in {path}; make it again"
        )


def _read_cuts(text: Any) -> tuple[tuple[str, float], ...]:
    pairs: Sequence[Sequence[Any]] = json.loads(text)
    return tuple((str(label), float(value)) for label, value in pairs)
