"""Score tables: how scores are spread, by source and class, and which rows are hardest."""

from __future__ import annotations

from dataclasses import replace

from pumalib.errors import ArtifactError, ResourceError
from pumalib.inspection.inspection import Inspection, Table, distribution
from pumalib.inspection.pools import pool_of, rows_of
from pumalib.inspection.samples import Samples, extremes
from pumalib.lineage.headers import Header
from pumalib.scores.table import ScoreTable, read_scores


def describe(header: Header, count: int) -> Inspection:
    """Describe the scores; where the pool is there, by class and source, with the hardest rows."""
    table = read_scores(header.path)
    what = f"scores of {len(table.score)} rows by {table.method}, higher is {table.higher_is}"
    spread = (distribution(_name(table), table.score[table.valid]),)
    try:
        rows = _with_scores(rows_of(pool_of(header)), table)
    except (ArtifactError, ResourceError) as error:
        notes = (f"labels and sources are not known: {error}", *bound_notes(table))
        return Inspection(what, _facts(table), (), spread, notes)
    return Inspection(what, _facts(table), (_means(rows, table), *extremes(rows, count)), spread, bound_notes(table))


def samples(header: Header) -> Samples:
    """Read the rows that a table is about, with scores and predictions."""
    return _with_scores(rows_of(pool_of(header)), read_scores(header.path))


def _facts(table: ScoreTable) -> dict[str, object]:
    facts: dict[str, object] = {"rows": len(table.score), "rows_scored": int(table.valid.sum())}
    if table.norm:
        facts |= {"norm": table.norm, "rows_misclassified": int((table.score < 0).sum())}
    if table.converged is not None:
        facts["rows_not_converged"] = int(table.cut_short.sum())
    if table.bounded.any():
        facts["rows_bounded"] = int(table.bounded.sum())
    if not table.measured.all():
        facts |= _extrapolation(table)
    if table.first_row:
        facts["first_row"] = table.first_row
    return facts


def _extrapolation(table: ScoreTable) -> dict[str, object]:
    """Return how many rows were measured, and how far the others may be off."""
    told = {"held_back_agreement": table.held_back_agreement, "held_back_error": table.held_back_error}
    return {
        "rows_measured": int(table.measured.sum()),
        **{name: value for name, value in told.items() if value is not None},
    }


def bound_notes(table: ScoreTable) -> tuple[str, ...]:
    """Return what a reader of spread, means and extremes has to know of bounds."""
    count = int(table.bounded.sum())
    if not count:
        return ()
    return (f"{count} rows lie as far from 0 as was asked for (up_to), or farther; they have no order among them",)


def _name(table: ScoreTable) -> str:
    word = "margin" if table.norm else "score"
    return f"{word} ({table.unit})" if table.unit else word


def _with_scores(pool: Samples, table: ScoreTable) -> Samples:
    """Put the scores beside the rows of the pool, or of the part of it that a shard is about."""
    part = slice(table.first_row, table.first_row + len(table.score))
    images, first = pool.images, table.first_row
    return replace(
        pool,
        rows=pool.rows[part],
        labels=pool.labels[part],
        groups=pool.groups[part],
        files=None if pool.files is None else pool.files[part],
        images=lambda positions: images(positions + first),
        predictions={name: table.columns[name] for name in ("prediction",) if name in table.columns},
        values={"margin" if table.norm else "score": table.score},
        hardness=table.hardness,
    )


def _means(rows: Samples, table: ScoreTable) -> Table:
    """Return rows and the mean score by class and source."""
    groups = [str(group) for group in dict.fromkeys(rows.groups.tolist())]
    columns = [text for group in groups for text in (f"{group} rows", f"{group} mean")]
    lines = []
    for label, name in enumerate(rows.class_names):
        cells: list[object] = []
        for group in groups:
            inside = (rows.labels == label) & (rows.groups == group) & table.valid
            cells += [int(inside.sum()), float(table.score[inside].mean()) if inside.any() else None]
        lines.append((name, *cells))
    return Table("scored rows and mean score by class and source", ("class", *columns), tuple(lines))
