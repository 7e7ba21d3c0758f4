"""What a run keeps and prunes, as a page of pictures; and beside it what each class loses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from pumalib.browsing.collection import Collection
from pumalib.browsing.study_page import page_of_selection
from pumalib.lineage.headers import read_header
from pumalib.reporting.colours import CYCLE
from pumalib.reporting.figures import COLUMN_WIDTH_INCHES, as_label, figure_style, new_figure
from pumalib.reporting.files import as_text, markdown_table
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.browse import BrowseSettings

_MOST_CLASSES = 30
"""Classes of the figure and of the page; the CSV has all."""


def lost_by_class(rows: Collection) -> pd.DataFrame:
    """Count `rows`, `kept` and `pruned` of each `class` and `source` that has rows."""
    sources = rows.facets["source"]
    lines = []
    for label, name in enumerate(rows.class_names):
        for code, source in enumerate(sources.names):
            inside = (rows.labels == label) & (sources.codes == code)
            kept = int((inside & (rows.facets["fate"].codes == 0)).sum())
            lines += [(name, source, int(inside.sum()), kept, int(inside.sum()) - kept)] if inside.any() else []
    return pd.DataFrame(lines, columns=["class", "source", "rows", "kept", "pruned"])


def by_class(lost: pd.DataFrame) -> pd.DataFrame:
    """Return `rows`, `kept`, `pruned` and `share` (pruned) of each class, the largest share first; ties by label."""
    sums = lost.groupby("class", sort=False)[["rows", "kept", "pruned"]].sum()
    sums["share"] = sums["pruned"] / sums["rows"]
    return sums.sort_values("share", ascending=False, kind="stable")


def draw(classes: pd.DataFrame) -> Figure:
    """Draw the pruned share of each class, the largest first."""
    drawn = classes[:_MOST_CLASSES]
    with figure_style():
        figure, (axes,) = new_figure(COLUMN_WIDTH_INCHES, 0.6 + 0.17 * len(drawn))
        axes.barh([as_label(str(name)) for name in drawn.index], (100 * drawn["share"]).tolist(), color=CYCLE[0])
        axes.invert_yaxis()
        axes.set_xlabel("rows pruned (%)")
        axes.set_xlim(0, max(1.0, 105 * float(drawn["share"].max())))
    return figure


def told(classes: pd.DataFrame, settings: BrowseSettings) -> str:
    """Return what each class loses, those that lose most first."""
    sums = [int(classes[column].sum()) for column in ("rows", "kept", "pruned")]
    lines = [(as_text(str(name)), *line) for name, *line in classes[:_MOST_CLASSES].itertuples(name=None)]
    lines.append(("all", *sums, sums[2] / sums[0]))
    cells = [[name, str(rows), str(kept), f"{100 * share:.1f}"] for name, rows, kept, _, share in lines]
    listed = f"The {_MOST_CLASSES} classes" if len(classes) > _MOST_CLASSES else "Classes"
    return "\n\n".join(
        [
            markdown_table(["class", "rows", "kept", "pruned (%)"], cells),
            f"{listed} of which `{settings.run}` prunes most come first; the table has them by source.",
        ]
    )


def make(settings: BrowseSettings, *, selection: Path, scores: Sequence[Path], attacks: Sequence[Path]) -> ReportParts:
    """Make the page, and the table of what classes lose.

    Args:
        settings: of the report.
        selection: of the run, in the folder of its study, which holds the pool and the scores that it read.
        scores: tables to show before those.
        attacks: tables to show in tabs of their own.

    Raises:
        ArtifactError: a file is missing, damaged, or of another pool.
    """
    page = page_of_selection(read_header(selection), scores=scores, attacks=attacks, count=settings.count)
    lost = lost_by_class(page.tabs[0].whole)
    classes = by_class(lost)
    return ReportParts(lost, draw(classes), "Share of each class pruned", told(classes, settings), page=page.write)
