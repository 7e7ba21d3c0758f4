"""The figure of what generated rows turned out to be: a row per set, from the table of the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from pumalib.reporting.colours import SOURCE_COLOURS
from pumalib.reporting.figures import PAGE_WIDTH_INCHES, as_label, figure_style, new_sheet

_BAND, _OTHER = "#009e73", "#707070"
_SPANS = ((0.01, 0.99, 0.8), (0.1, 0.9, 2.2), (0.25, 0.75, 5.0))
"""Quantiles that a line goes from and to, and its width in points."""
_ROW_INCHES, _LETTERS = 0.24, 22
_NARROWEST = 2
"""Points that an axis of shares has room for, so that no small difference looks large."""


class _Panel(NamedTuple):
    """A narrow panel, in per cent: what is drawn, what is drawn hollow beside, and its label."""

    column: str
    beside: str | None
    label: str


_PANELS = (
    _Panel("within", "plain_within", "in the band\nasked (%)"),
    _Panel("denied", "denied_by_other", "labels denied\n(%)"),
    _Panel("nearer", None, "near a train\nrow (%)"),
    _Panel("coverage", "expected_coverage", "coverage\n(%)"),
    _Panel("neighbour_ratio", None, "neighbour\nratio (%)"),
)


Sets = Sequence[tuple[str, str, pd.DataFrame]]
"""Name, source and rows of seeds of each set, in the order of the table."""


def sets_of(table: pd.DataFrame) -> Sets:
    """Return name, source and rows of seeds of each set, in the order of the table."""
    groups = table.groupby(["source", "set"], sort=False)
    return [(str(name), str(source), rows) for (source, name), rows in groups]


def draw(table: pd.DataFrame) -> Figure:
    """Draw a row per set: its margins as lines between quantiles over the band asked for, and the other measures."""
    sets = sets_of(table)
    panels = [panel for panel in _PANELS if panel.column in table and table[panel.column].notna().any()]
    with figure_style():
        figure = new_sheet(PAGE_WIDTH_INCHES, 1.15 + _ROW_INCHES * len(sets))
        figure.set_layout_engine("constrained")
        widths = [2.5, *[1.0] * len(panels)]
        wide, *narrow = figure.subplots(1, len(widths), sharey=True, width_ratios=widths, squeeze=False)[0]
        _draw_margins(wide, sets)
        for axes, panel in zip(narrow, panels, strict=True):
            _draw_panel(axes, sets, panel)
        figure.legend(handles=_legend(table), loc="outside upper left", ncols=4)
    return figure


def _draw_margins(axes: Axes, sets: Sets) -> None:
    for place, (_, source, rows) in enumerate(sets):
        for first, last, width in _SPANS:
            ends = [rows[f"margin_{each:g}"].mean() for each in (first, last)]
            axes.plot(ends, [place, place], color=SOURCE_COLOURS[source], linewidth=width, solid_capstyle="butt")
        medians = rows["margin_0.5"]
        axes.plot(medians, [place] * len(medians), "|", color="black", markersize=7, markeredgewidth=0.8, zorder=4)
    low, high = axes.get_xlim()
    for place, (_, _, rows) in enumerate(sets):
        if "band_low" in rows and rows["asked_from"].notna().all():
            left, right = max(rows["band_low"].mean(), low), min(rows["band_high"].mean(), high)
            band = Rectangle((left, place - 0.42), right - left, 0.84, color=_BAND, alpha=0.25, linewidth=0, zorder=0)
            axes.add_patch(band)
    axes.set_xlim(low, high)
    axes.axvline(0, color="#808080", linewidth=0.6, zorder=0)
    axes.set_yticks(range(len(sets)), [as_label(_named(name, source)) for name, source, _ in sets])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(sets) - 0.5, -0.5)
    axes.set_xlabel("margin by the second\nmodel (pixel scale)", fontsize=7)


def _named(name: str, source: str) -> str:
    short = name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
    return f"{short}, train rows" if source == "real" else short


def _draw_panel(axes: Axes, sets: Sets, panel: _Panel) -> None:
    for place, (_, source, rows) in enumerate(sets):
        values = 100 * rows[panel.column]
        colour = SOURCE_COLOURS[source]
        axes.plot(values, [place] * len(values), ".", color=colour, markersize=3, alpha=0.5, markeredgewidth=0)
        axes.plot([values.mean()], [place], "o", color=colour, markersize=4.5)
        if panel.beside is not None and rows[panel.beside].notna().any():
            beside = 100 * rows[panel.beside].mean()
            axes.plot([beside], [place], "D", color=_OTHER, markerfacecolor="none", markersize=5, markeredgewidth=0.8)
    axes.set_xlabel(panel.label, fontsize=7)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=6)
    axes.margins(x=0.2)
    axes.locator_params(axis="x", nbins=2, min_n_ticks=2)
    low, high = axes.get_xlim()
    if high - low < _NARROWEST:
        axes.set_xlim((low + high - _NARROWEST) / 2, (low + high + _NARROWEST) / 2)


def _legend(table: pd.DataFrame) -> list[Line2D | Patch]:
    colour = SOURCE_COLOURS["synthetic"]
    names = ("1 to 99 %", "10 to 90 %", "25 to 75 % of rows")
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=colour, linewidth=width, label=name)
        for name, (_, _, width) in zip(names, _SPANS, strict=True)
    ]
    handles.append(Line2D([], [], color="black", marker="|", linestyle="", markersize=7, label="median of each seed"))
    if table.get("asked_from", pd.Series(dtype=float)).notna().any():
        handles.append(Patch(color=_BAND, alpha=0.25, linewidth=0, label="band asked for"))
    handles.append(Line2D([], [], color=colour, marker="o", linestyle="", markersize=4.5, label="mean over seeds"))
    beside = Line2D([], [], color=_OTHER, marker="D", linestyle="", markerfacecolor="none", markersize=5)
    beside.set_label("to compare with")
    return [*handles, beside]
