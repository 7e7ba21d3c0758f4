"""Which class of a dataset went into which group, and how large the groups are: a bar each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pumalib.data.class_groups import ClassGroups
from pumalib.data.grouped_classes import read_class_groups
from pumalib.reporting.figures import (
    COLUMN_WIDTH_INCHES,
    LEAST_POINTS,
    PAGE_WIDTH_INCHES,
    as_label,
    figure_style,
    new_sheet,
)
from pumalib.reporting.files import as_text, markdown_table
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.class_groups import ClassGroupsSettings

_KEPT, _LEFT_OUT = "#0072b2", "#b3b3b3"
_MOST_IN_A_COLUMN, _MOST_COLUMNS = 40, 3
_MOST_DRAWN = 300
"""Groups that are all drawn; of more, those that are kept alone are."""
_MOST_LISTED = 1000
"""Classes that the page lists; the CSV lists all of any number."""
_BAR_INCHES, _LETTERS = 0.13, 26
"""Height of a bar, and letters of a name beside it."""


class Bar(NamedTuple):
    """A group: its name, how many images and classes it has, and whether it is a class of the dataset."""

    name: str
    images: int
    classes: int
    is_kept: bool


def class_table(groups: ClassGroups) -> pd.DataFrame:
    """Return a row per class in the order of the tree: class, words, node, group, images, kept."""
    columns = ["class", "words", "node", "group", "kept", "images"]
    table = pd.DataFrame([tuple(row) for row in groups.rows], columns=columns)
    return table[["class", "words", "node", "group", "images", "kept"]]


def bars_of(groups: ClassGroups) -> list[Bar]:
    """Return every group, in the order of the tree."""
    members: dict[str, list[tuple[int, bool]]] = {}
    for row in groups.rows:
        members.setdefault(row.group, []).append((row.images, row.is_kept))
    return [Bar(name, sum(images for images, _ in each), len(each), each[0][1]) for name, each in members.items()]


def draw_groups(bars: Sequence[Bar]) -> Figure:
    """Draw groups as bars in their order, column after column; those that are left out are grey."""
    num_columns = min(_MOST_COLUMNS, -(-len(bars) // _MOST_IN_A_COLUMN))
    length = -(-len(bars) // num_columns)
    width = COLUMN_WIDTH_INCHES if num_columns == 1 else PAGE_WIDTH_INCHES
    with figure_style():
        figure = new_sheet(width, 0.5 + _BAR_INCHES * length)
        figure.set_layout_engine("constrained")
        for place, axes in enumerate(figure.subplots(1, num_columns, squeeze=False)[0]):
            _draw_column(axes, bars[place * length : (place + 1) * length], length)
            axes.set_xlim(0, 1.25 * max(bar.images for bar in bars))
            axes.set_xlabel("images")
    return figure


def _draw_column(axes: Axes, bars: Sequence[Bar], length: int) -> None:
    places = np.arange(len(bars))
    colours = [_KEPT if bar.is_kept else _LEFT_OUT for bar in bars]
    drawn = axes.barh(places, [bar.images for bar in bars], color=colours, height=0.75)
    axes.bar_label(drawn, [f"{bar.images:,}" for bar in bars], padding=1.5, fontsize=LEAST_POINTS)
    axes.set_yticks(places, [as_label(_short(bar.name)) for bar in bars])
    for label, bar in zip(axes.get_yticklabels(), bars, strict=True):
        label.set_color("black" if bar.is_kept else "#707070")
    axes.tick_params(axis="y", length=0, labelsize=LEAST_POINTS, labelleft=True)
    axes.set_ylim(length - 0.4, -0.6)
    axes.locator_params(axis="x", nbins=3)


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1].rstrip()}…"


def groups_page(groups: ClassGroups, bars: Sequence[Bar]) -> str:
    """Return what was reached, the groups, and the classes where they are not too many."""
    kept = [bar for bar in bars if bar.is_kept]
    sizes, all_images = [bar.images for bar in kept], sum(bar.images for bar in bars)
    told = (
        f"{len(groups.rows):,} classes make {len(kept):,} groups; {groups.num_wanted:,} were wanted. The largest has "
        f"{max(sizes):,} images, the smallest {min(sizes):,}: {max(sizes) / min(sizes):.2f} times as many. "
        f"{sum(sizes):,} of {all_images:,} images stay. Groups left out (grey): {len(bars) - len(kept):,}."
    )
    names = [[as_text(bar.name), str(bar.classes), str(bar.images), _yes(bar.is_kept)] for bar in bars]
    return "\n\n".join(
        [told, markdown_table(["group", "classes", "images", "kept"], names), _page_of_classes(class_table(groups))]
    )


def _page_of_classes(table: pd.DataFrame) -> str:
    if len(table) > _MOST_LISTED:
        return f"The CSV lists all {len(table):,} classes."
    cells = [
        [as_text(row["class"]), as_text(row["words"]), as_text(row["group"]), str(row["images"]), _yes(row["kept"])]
        for row in table.to_dict("records")
    ]
    return markdown_table(["class", "words", "group", "images", "kept"], cells)


def _yes(is_kept: bool) -> str:
    return "yes" if is_kept else "no"


def make(settings: ClassGroupsSettings, *, dataset: Path) -> ReportParts:
    """Make the table and the bars of a dataset.

    Args:
        settings: of the report.
        dataset: its file.
    """
    return groups_parts(read_class_groups(dataset))


def groups_parts(groups: ClassGroups) -> ReportParts:
    """Return the figure of the groups, the table of the classes and the page."""
    bars = bars_of(groups)
    drawn = bars if len(bars) <= _MOST_DRAWN else [bar for bar in bars if bar.is_kept]
    text = groups_page(groups, bars)
    note = "" if len(drawn) == len(bars) else f"The figure shows the {len(drawn):,} groups that are kept alone.\n\n"
    return ReportParts(class_table(groups), draw_groups(drawn), "Groups of classes and their images", note + text)
