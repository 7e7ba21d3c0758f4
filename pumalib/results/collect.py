"""Collecting every attack table of a study into one tidy CSV. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pumalib.data.selection import StoredSelection, read_selection
from pumalib.errors import ArtifactError
from pumalib.evaluation.table import StoredAttack, read_attack
from pumalib.files.tables import write_table

CLEAN_ATTACK = "none"


@dataclass(frozen=True)
class ResultRow:
    """One line of results.csv.

    Attributes:
        study: where it comes from.
        num_kept: rows selected; None: the run is a model trained elsewhere, which has no selection.
        pruned_fraction: rows removed over rows in the pool; nan as above.
        mean_epsilon: mean signed epsilon over the rows as drawn, pixel scale; nan as above.
        attack: name under `attacks`; `none` for clean accuracy.
        metric: `clean_accuracy` or `robust_accuracy`.
        value: share in [0, 1].
        num_samples: images behind the value.
    """

    study: str
    run: str
    seed: int
    pool: str
    num_kept: int | None
    pruned_fraction: float
    mean_epsilon: float
    attack: str
    metric: str
    value: float
    num_samples: int


@dataclass(frozen=True)
class RunFiles:
    """The files of one run and seed.

    Attributes:
        run, seed, pool: which.
        selection: its selection file; None: it is a model trained elsewhere.
        attacks: its attack tables, by name, in the study's order.
    """

    run: str
    seed: int
    pool: str
    selection: Path | None
    attacks: dict[str, Path]

    @classmethod
    def from_mapping(cls, entry: Mapping[str, Any]) -> RunFiles:
        """Read what a rule's params spell."""
        attacks = {name: Path(path) for name, path in entry["attacks"].items()}
        selection = None if entry["selection"] is None else Path(entry["selection"])
        return cls(entry["run"], int(entry["seed"]), entry["pool"], selection, attacks)


def collect_results(study: str, files: Sequence[RunFiles]) -> pd.DataFrame:
    """Read results, one line per run, seed and metric, in the order of the files."""
    return tidy_results(study, map(read_tables, files))


def tidy_results(study: str, tables: Iterable[RunTables]) -> pd.DataFrame:
    """Return results, one line per run, seed and metric, in the order of the tables."""
    rows = [row for found in tables for row in _rows_of_tables(study, found)]
    frame = pd.DataFrame([asdict(row) for row in rows], columns=[field.name for field in fields(ResultRow)])
    if frame["num_kept"].isna().any():
        frame["num_kept"] = frame["num_kept"].astype("Int64")  # whole numbers beside empty cells
    return frame


def write_results(study: str, files: Sequence[RunFiles], output: Path) -> None:
    """Write results.csv."""
    write_table(output, collect_results(study, files).to_csv(index=False, lineterminator="\n"))


@dataclass(frozen=True)
class RunTables:
    """What the files of one run and seed hold.

    Attributes:
        entry: the files.
        selection: its rows and epsilons; None: it is a model trained elsewhere.
        attacks: its attack tables, by name, in the study's order.
    """

    entry: RunFiles
    selection: StoredSelection | None
    attacks: dict[str, StoredAttack]

    @property
    def clean(self) -> StoredAttack:
        """The table that clean accuracy is read off: the largest, of the test split where there is one."""
        return max(self.attacks.values(), key=lambda table: (table.split == "test", len(table.label)))


def read_tables(entry: RunFiles) -> RunTables:
    """Read the files of one run and seed.

    Raises:
        ArtifactError: damaged files, or tables of other models, selections or test sets than each other.
    """
    selection = None if entry.selection is None else read_selection(entry.selection)
    expected = ("",) if selection is None else ("", selection.fingerprint)
    tables = {name: read_attack(path) for name, path in entry.attacks.items()}
    for name, table in tables.items():
        if table.selection not in expected:
            raise ArtifactError(
                f"expected attack {name} on the model of {entry.run}/seed{entry.seed}, got one on a model that was "
                f"trained on another selection at {entry.attacks[name]}; delete it and run again"
            )
    found = RunTables(entry, selection, tables)
    _expect_one_clean_answer(found)
    return found


def _rows_of_tables(study: str, found: RunTables) -> Iterator[ResultRow]:
    """Yield the results of one run and seed: clean accuracy, then robust accuracy under each attack."""
    entry, selection = found.entry, found.selection
    shared = {
        "study": study,
        "run": entry.run,
        "seed": entry.seed,
        "pool": entry.pool,
        "num_kept": None if selection is None else len(selection.rows),
        "pruned_fraction": math.nan if selection is None else selection.pruned_fraction,
        "mean_epsilon": math.nan if selection is None else selection.mean_epsilon,
    }
    yield ResultRow(
        **shared,  # type: ignore[arg-type]
        attack=CLEAN_ATTACK,
        metric="clean_accuracy",
        value=found.clean.clean_accuracy,
        num_samples=len(found.clean.label),
    )
    for name, table in found.attacks.items():
        if table.method != "clean":
            yield ResultRow(
                **shared,  # type: ignore[arg-type]
                attack=name,
                metric="robust_accuracy",
                value=table.robust_accuracy,
                num_samples=len(table.label),
            )


def _expect_one_clean_answer(found: RunTables) -> None:
    """Refuse tables that say different things of one image."""
    largest, entry = found.clean, found.entry
    for name, table in found.attacks.items():
        if table.split == largest.split:
            where = f"attack {name} of {entry.run}/seed{entry.seed} differs"
            _, here, there = np.intersect1d(table.row, largest.row, assume_unique=True, return_indices=True)
            if (table.label[here] != largest.label[there]).any():
                raise ArtifactError(
                    f"expected one label per image, {where}: it was made with another test set; make it again"
                )
            if (table.clean_prediction[here] != largest.clean_prediction[there]).any():
                raise ArtifactError(
                    f"expected one clean prediction an image, {where}: it was made with another model; make it again"
                )
