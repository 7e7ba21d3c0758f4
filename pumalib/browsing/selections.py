"""Every row of the pool of a selection: kept, or the cut that removed it. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pumalib.browsing.collection import Collection, Facet
from pumalib.data.planted import true_labels_of
from pumalib.data.pool import SOURCE_NAMES, Pool
from pumalib.data.selection import StoredSelection, read_selection
from pumalib.errors import ArtifactError
from pumalib.files.artifacts import expect_fingerprint
from pumalib.inspection.kinds.scores import bound_notes
from pumalib.inspection.kinds.selection import KEPT, cut_names
from pumalib.inspection.pools import pool_of
from pumalib.lineage.chain import chain_links
from pumalib.lineage.headers import Header
from pumalib.lineage.places import place_of
from pumalib.scores.table import ScoreTable, read_scores


def selection_rows(header: Header, scores: Sequence[Path] = ()) -> Collection:
    """Read the rows of the pool that a selection was made of.

    Args:
        header: of the selection, in the folder of its study.
        scores: score tables of the pool to show beside those that the selection read.

    Raises:
        ArtifactError: the selection, its pool or a score is missing, damaged, or of another pool.
    """
    selection, pool = read_selection(header.path), pool_of(header)
    expect_rows(len(selection.reason), len(pool), header.path)
    tables = {name: _read(path, header, len(pool)) for name, path in score_paths(header, scores).items()}
    notes = [f"{name}: {note}" for name, table in tables.items() for note in bound_notes(table)]
    return Collection(
        name="train rows",
        rows=np.arange(len(pool), dtype=np.int64),
        class_names=pool.class_names,
        labels=pool.labels,
        facets={
            "fate": Facet((KEPT, *cut_names(selection)), selection.reason.astype(np.int64) + 1),
            "source": Facet(SOURCE_NAMES, pool.source.astype(np.int64)),
        },
        predictions=_predictions(pool, tables),
        values={name: _values(table) for name, table in tables.items()} | _of_selection(selection),
        images=pool.images.__getitem__,
        files=pool.read_files(),
        cuts={name: _thresholds(name, table, selection) for name, table in tables.items()},
        notes=tuple(notes),
    )


def score_paths(header: Header, scores: Sequence[Path] = ()) -> dict[str, Path]:
    """Return the tables of the scores that a selection read, and of others, by name, each once.

    Scores that are asked for come first, because a page is ordered by the first.
    """
    asked = {place_of(path).name: path for path in scores}
    links = {link.role.removeprefix("score "): link for link in chain_links(header) if link.role.startswith("score ")}
    for name, link in links.items():
        if link.path is None and name not in asked:
            raise ArtifactError(link.problem)
    return asked | {name: link.path for name, link in links.items() if link.path is not None and name not in asked}


def _read(path: Path, header: Header, count: int) -> ScoreTable:
    table = read_scores(path)
    expect_fingerprint(table.pool_fingerprint, str(header.attributes["pool_fingerprint"]), "pool", path)
    expect_rows(len(table.score), count, path)
    return table


def expect_rows(found: int, expected: int, path: Path) -> None:
    """Refuse a file that is not about every row of the pool, such as a shard."""
    if found != expected:
        raise ArtifactError(
            f"expected an entry for each of the {expected} rows of the pool, got {found} in {path}; give the whole "
            "file, not a shard"
        )


def _values(table: ScoreTable) -> NDArray[np.float32]:
    return np.where(table.valid, table.score, np.float32(np.nan))


def _of_selection(selection: StoredSelection) -> dict[str, NDArray[np.float32]]:
    """Return the epsilon, and where rows have their own the attack steps, of rows that are kept."""
    columns = {"epsilon": selection.epsilons}
    if selection.attack_steps is not None:
        columns["attack steps"] = selection.attack_steps.astype(np.float32)
    values = {name: np.full(len(selection.reason), np.nan, np.float32) for name in columns}
    for name, column in columns.items():
        values[name][selection.rows] = column
    return values


def _predictions(pool: Pool, tables: Mapping[str, ScoreTable]) -> dict[str, NDArray[np.int64]]:
    """Return what the models of margins predict, and the true labels where wrong ones were planted."""
    found = {
        f"prediction ({name})": table.columns["prediction"].astype(np.int64)
        for name, table in tables.items()
        if "prediction" in table.columns
    }
    truth = true_labels_of(pool)
    found |= {} if truth is None else {"true label": truth}
    for name, column in found.items():
        if column.min(initial=0) < 0 or column.max(initial=0) >= len(pool.class_names):
            raise ArtifactError(
                f"expected {name} among {len(pool.class_names)} classes, got {column.min()}..{column.max()}; "
                "score the pool again"
            )
    return found


def _thresholds(name: str, table: ScoreTable, selection: StoredSelection) -> tuple[float, ...]:
    """Return the values of cuts by a score that separate what each removed from what it left."""
    found = []
    for number, (label, value) in enumerate(selection.cuts):
        removed = table.score[selection.reason == number]
        left = table.score[table.valid & ((selection.reason == -1) | (selection.reason > number))]
        if label.split(" ")[0] != name or not len(removed) or not len(left) or not np.isfinite(value):
            continue
        if removed.min() >= left.max() or removed.max() <= left.min():
            found.append(value)
    return tuple(found)
