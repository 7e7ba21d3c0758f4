"""The rows of a pool as a selection leaves them, in one table for readers without this library. Imports no torch."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pumalib.data.pool import SOURCE_NAMES, Pool
from pumalib.data.selection import StoredSelection, read_selection
from pumalib.errors import ArtifactError
from pumalib.files.artifacts import content_fingerprint, expect_fingerprint
from pumalib.files.provenance import library_versions
from pumalib.inspection.kinds.scores import bound_notes
from pumalib.inspection.pools import pool_of
from pumalib.lineage.chain import chain_links
from pumalib.lineage.headers import Header
from pumalib.lineage.places import place_of
from pumalib.scores.table import ScoreTable, read_scores

_SCORE = "score "
"""How the role of a score among the inputs of a selection begins."""


@dataclass(frozen=True)
class Exported:
    """What there is to export of a selection.

    Attributes:
        pool: its pool.
        selection: what it keeps.
        kept_only: whether the rows kept are written alone; else every row of the pool is.
        files: [N] names of the files that images were, "" for others; None: none was one.
        scores: [N] float32 by name of the column, nan where a row was not scored: `margin`, `score_<name>`.
        origin: where all this comes from, as JSON holds it.
        notes: what a reader of the numbers has to know.
    """

    pool: Pool
    selection: StoredSelection
    kept_only: bool
    files: NDArray[np.object_] | None
    scores: Mapping[str, NDArray[np.float32]]
    origin: Mapping[str, Any]
    notes: tuple[str, ...]

    @functools.cached_property
    def rows(self) -> NDArray[np.int64]:
        """[R] of the pool, ascending, those to write."""
        return self.selection.rows if self.kept_only else np.arange(len(self.pool), dtype=np.int64)

    @functools.cached_property
    def labels(self) -> NDArray[np.int64]:
        """[N] what each row of the pool is trained under: its own label, or that of a run with `relabel`."""
        if self.selection.labels is None:
            return self.pool.labels
        labels = self.pool.labels.copy()
        labels[self.selection.rows] = self.selection.labels
        return labels

    def table(self, block: slice) -> pd.DataFrame:
        """Return what is known of a block of the rows to write, but for their images.

        Where a run gave rows other labels, `pool_label` says the pool's. Of all rows of a pool, `kept` says which are
        kept, and `pruned_by` which cut removed each of the others.
        """
        rows = self.rows[block]
        labels = self.labels[rows]
        columns: dict[str, Any] = {"row": rows}
        if self.files is not None:
            columns["file"] = self.files[rows]
        columns |= {"label": labels, "class": _named(self.pool.class_names, labels)}
        if self.selection.labels is not None:
            columns["pool_label"] = self.pool.labels[rows]
        columns["source"] = _named(SOURCE_NAMES, self.pool.source[rows])
        columns |= {name: column[rows] for name, column in self.scores.items()}
        columns |= self._of_kept(rows)
        if not self.kept_only:
            reason = self.selection.reason[rows].astype(np.int64)
            columns |= {"kept": reason == -1, "pruned_by": _named(("", *self._cuts()), reason + 1)}
        return pd.DataFrame(columns)

    def originals(self, block: slice) -> list[str]:
        """Return the names of the files that images of a block were; "": of none."""
        rows = self.rows[block]
        return [""] * len(rows) if self.files is None else self.files[rows].tolist()

    def _of_kept(self, rows: NDArray[np.int64]) -> dict[str, Any]:
        """Return the columns that pruned rows have nothing in."""
        selection = self.selection
        is_kept = selection.reason[rows] == -1
        places = np.searchsorted(selection.rows, rows[is_kept])
        epsilons = np.full(len(rows), np.nan, np.float32)
        epsilons[is_kept] = selection.epsilons[places]
        if selection.attack_steps is None:
            return {"epsilon": epsilons}
        steps = np.zeros(len(rows), np.int64)
        steps[is_kept] = selection.attack_steps[places]
        return {"epsilon": epsilons, "attack_steps": pd.arrays.IntegerArray(steps, ~is_kept)}

    def _cuts(self) -> list[str]:
        return [label for label, _ in self.selection.cuts]


def _named(names: Sequence[str], codes: NDArray[np.integer]) -> NDArray[np.object_]:
    taken: NDArray[np.object_] = np.asarray(names, object)[codes]
    return taken


def read_exported(header: Header, kept_only: bool) -> Exported:
    """Read a selection, the scores that it read and the columns of its pool; images are read when they are asked for.

    Args:
        header: of a file in the folder of its study.
        kept_only: whether the rows kept are written alone.

    Raises:
        ArtifactError: no selection, or the pool or a score is missing, damaged or another one.
    """
    if header.kind != "selection":
        raise ArtifactError(
            f"expected a selection, got {header.noun} at {header.path}; "
            "give one such as results/digits/selections/puma-20/seed0.h5"
        )
    pool = pool_of(header)
    selection = read_selection(header.path, pool.fingerprint)
    if len(selection.reason) != len(pool):
        raise ArtifactError(
            f"expected a reason for each of {len(pool)} rows of the pool, got {len(selection.reason)} in {header.path}"
        )
    tables = _tables(header, pool)
    margin = _margin_of(header, tables)
    return Exported(
        pool,
        selection,
        kept_only,
        pool.read_files(),
        _columns(tables, margin),
        _origin(header, pool, selection, margin),
        _notes(header, selection, tables),
    )


def _tables(header: Header, pool: Pool) -> dict[str, ScoreTable]:
    """Read the scores that a selection read, and refuse those that are others by now."""
    tables = {}
    for link in chain_links(header):
        if not link.role.startswith(_SCORE):
            continue
        if link.path is None:
            raise ArtifactError(link.problem)
        table = read_scores(link.path, pool.fingerprint)
        if len(table.score) != len(pool):
            raise ArtifactError(f"expected scores of {len(pool)} rows, got {len(table.score)} in {link.path}")
        if link.recorded:
            found = content_fingerprint(table.score, table.valid)
            expect_fingerprint(found, link.recorded, "score table that the selection read", link.path)
        tables[link.role.removeprefix(_SCORE)] = table
    return tables


def _margin_of(header: Header, tables: Mapping[str, ScoreTable]) -> str | None:
    """Return the margin score that gives epsilons; else the first that prunes; else any; None: there is none."""
    wanted = [header.settings["epsilon"].get("score"), *(cut.get("by") for cut in header.settings["prune"]), *tables]
    return next((name for name in wanted if name in tables and tables[name].norm), None)


def _columns(tables: Mapping[str, ScoreTable], margin: str | None) -> dict[str, NDArray[np.float32]]:
    names = [*([] if margin is None else [margin]), *(name for name in tables if name != margin)]
    titles = ["margin" if name == margin else f"score_{name}" for name in names]
    values = [np.where(tables[name].valid, tables[name].score, np.float32(np.nan)) for name in names]
    return dict(zip(titles, values, strict=True))


def _origin(header: Header, pool: Pool, selection: StoredSelection, margin: str | None) -> dict[str, Any]:
    place = place_of(header.path)
    return {
        "study": place.study,
        "selection": f"{place.group}/{place.name}/seed{place.seed}.h5",
        "selection_fingerprint": selection.fingerprint,
        "pool_fingerprint": pool.fingerprint,
        "threat": dict(header.settings.get("threat", {})),
        "margin": margin,
        "class_names": list(pool.class_names),
        "pumalib": library_versions()["pumalib"],
    }


def _notes(header: Header, selection: StoredSelection, tables: Mapping[str, ScoreTable]) -> tuple[str, ...]:
    notes = [f"score {name}: {note}" for name, table in tables.items() for note in bound_notes(table)]
    if np.isnan(selection.mean_epsilon):
        policy = header.settings["epsilon"]["policy"]
        notes.append(f"epsilons are those that policy {policy} starts from: training finds others")
    return tuple(notes)
