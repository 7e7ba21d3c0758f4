"""Selections: what was kept and what each cut removed, by class and source, and how epsilons are spread."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np

from pumalib.data.pool import SOURCE_NAMES
from pumalib.data.selection import StoredSelection, read_selection
from pumalib.errors import ArtifactError, ResourceError
from pumalib.inspection.inspection import Inspection, Table, class_counts, distribution
from pumalib.inspection.kinds.scores import bound_notes
from pumalib.inspection.pools import pool_of, rows_of
from pumalib.inspection.samples import Samples, extremes
from pumalib.lineage.chain import chain_links
from pumalib.lineage.headers import Header
from pumalib.scores.table import ScoreTable, read_scores

KEPT = "kept"


def describe(header: Header, count: int) -> Inspection:
    """Describe what was kept; where the pool is there, what was removed too."""
    selection = read_selection(header.path)
    facts = {
        "rows_kept": len(selection.rows),
        "rows_in_pool": len(selection.reason),
        "pruned_fraction": selection.pruned_fraction,
        "mean_epsilon": selection.mean_epsilon,
        "epsilon_policy": header.settings["epsilon"]["policy"],
    }
    if selection.mean_attack_steps is not None:
        facts["mean_attack_steps"] = selection.mean_attack_steps
    if selection.num_relabelled is not None:
        facts["rows_relabelled"] = selection.num_relabelled
    what = f"a selection of {len(selection.rows)} of {len(selection.reason)} rows, with an epsilon each"
    tables: tuple[Table, ...] = (_kept_counts(header), _cut_table(selection))
    spread = (distribution("epsilon (pixel scale)", selection.epsilons),)
    try:
        rows = samples(header)
    except (ArtifactError, ResourceError) as error:
        return Inspection(what, facts, tables, spread, (f"labels of removed rows are not known: {error}",))
    removed = np.flatnonzero(rows.groups != KEPT)
    if len(removed):
        counts = class_counts(
            "rows removed by class and cut", rows.labels[removed], rows.groups[removed], rows.class_names
        )
        tables = (*tables, counts)
    notes = tuple(note for _, table in _first_score(header) for note in bound_notes(table))
    return Inspection(what, facts, (*tables, *extremes(rows, count)), spread, notes)


def samples(header: Header) -> Samples:
    """Read every row of the pool, by what became of it: kept, or the cut that removed it.

    The first score that the selection read says which rows are hard, where its table is still there.
    """
    selection = read_selection(header.path)
    rows = rows_of(pool_of(header))
    epsilons = np.full(len(rows.rows), np.nan, np.float32)
    epsilons[selection.rows] = selection.epsilons
    labels = np.array([KEPT, *cut_names(selection)])
    first = _first_score(header)
    values = {name: table.score for name, table in first} | {"epsilon": epsilons}
    told = [table.columns["prediction"] for _, table in first if "prediction" in table.columns]
    return replace(
        rows,
        groups=labels[selection.reason + 1],
        sources=rows.groups,
        predictions={"prediction": told[0]} if told else {},
        values=values,
        hardness=first[0][1].hardness if first else None,
    )


def _first_score(header: Header) -> list[tuple[str, ScoreTable]]:
    """Return the name and the table of the first score that the selection read; nothing where it read none."""
    links = [link for link in chain_links(header) if link.role.startswith("score ")][:1]
    if links and links[0].path is None:
        raise ArtifactError(links[0].problem)
    fingerprint = str(header.attributes["pool_fingerprint"])
    return [(link.role.removeprefix("score "), read_scores(link.path, fingerprint)) for link in links if link.path]


def cut_names(selection: StoredSelection) -> list[str]:
    """Return a name for each cut, such as `pruned: easiest 20 % by margin`; several are numbered, and sort so."""
    words = [_in_words(label) for label, _ in selection.cuts]
    return [f"pruned{f' (cut {at})' if len(words) > 1 else ''}: {each}" for at, each in enumerate(words, 1)]


def _in_words(label: str) -> str:
    """Return what a cut prunes: of `margin easiest 20 %` it is `easiest 20 % by margin`."""
    found = re.fullmatch(r"(.+?) ((?:easiest|hardest|extremes) [\d.]+ %)(.*)", label)
    return f"{found[2]} by {found[1]}{found[3]}" if found else label


def _cut_table(selection: StoredSelection) -> Table:
    rows = [
        (name, value, int((selection.reason == number).sum()))
        for number, (name, (_, value)) in enumerate(zip(cut_names(selection), selection.cuts, strict=True))
    ]
    return Table("cuts", ("cut", "threshold", "rows removed first by it"), tuple(rows))


def _kept_counts(header: Header) -> Table:
    counts = json.loads(header.attributes["counts"])
    names = [name for name in SOURCE_NAMES if sum(counts[name].values())]
    rows = [(title, *(counts[name][title] for name in names)) for title in counts[SOURCE_NAMES[0]]]
    sums = [sum(counts[name].values()) for name in names]
    lines = [(*row, sum(row[1:])) for row in [*rows, ("all", *sums)]]
    return Table("rows kept by class and source", ("class", *names, "all"), tuple(lines))
