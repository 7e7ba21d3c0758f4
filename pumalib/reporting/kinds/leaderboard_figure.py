"""The figure of a leaderboard: differences to random rows over the share of rows kept, a panel each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pumalib.reporting.colours import LineStyle, group_line_styles, run_styles
from pumalib.reporting.figures import PAGE_WIDTH_INCHES, as_label, figure_style, legend_columns, new_stack
from pumalib.reporting.settings.leaderboard import LeaderboardSettings

_PANEL_INCHES, _LEGEND_INCHES = 1.9, 0.5
_GROUP_WIDTH = 0.84
"""Width that the methods of a group share; groups are 1 apart."""
_LEAST_POINTS = 1.0
"""Half the height of a panel is at least this many points, so that nothing looks large where all is small."""


def draw_leaderboard(table: pd.DataFrame, settings: LeaderboardSettings) -> Figure:
    """Draw `leaderboard_table` in points: a mark a method, filled where a difference is told, and its joint interval.

    A grey band is one standard deviation of random rows over seeds, each side.
    """
    methods = [method for method in settings.methods if method != settings.random]
    styles = _styles_of(methods)
    labels = list(settings.panels)
    with figure_style():
        height = _LEGEND_INCHES + _PANEL_INCHES * len(labels)
        figure, panels = new_stack(PAGE_WIDTH_INCHES, height, len(labels))
        shares = sorted(set(table["kept"]))
        for axes, label in zip(panels, labels, strict=True):
            _draw_panel(axes, table[table["panel"] == label], shares, methods, styles)
            axes.set_title(as_label(_title(label, settings)), loc="left")
            axes.set_ylabel(as_label(f"minus {settings.random} (points)"))
        panels[-1].set_xticks(range(len(shares)), [str(share) for share in shares])
        panels[-1].set_xlabel("rows kept (%)")
        drawn = [method for method in methods if method in set(table["method"])]
        columns = legend_columns(drawn, PAGE_WIDTH_INCHES, 10)
        handles = [_handle(method, styles[method]) for method in drawn]
        figure.legend(handles=handles, loc="outside upper left", ncols=columns)
    return figure


def _title(label: str, settings: LeaderboardSettings) -> str:
    by = (
        "clean accuracy"
        if settings.panels[label].metric == "clean_accuracy"
        else f"robust accuracy ({settings.attack})"
    )
    return f"{label}: {by}"


def _styles_of(methods: Sequence[str]) -> dict[str, LineStyle]:
    """Return a look of each method that no other has."""
    return group_line_styles({method: [method] for method in methods}, run_styles(methods))


def _handle(method: str, style: LineStyle) -> Line2D:
    return Line2D([], [], color=style.colour, marker=style.marker, markersize=4, linewidth=1, label=as_label(method))


def _draw_panel(
    axes: Axes,
    rows: pd.DataFrame,
    shares: Sequence[int],
    methods: Sequence[str],
    styles: Mapping[str, LineStyle],
) -> None:
    axes.axhline(0, color="#808080", linewidth=0.8, zorder=1)
    for place, kept in enumerate(shares):
        group = {row["method"]: row for _, row in rows[rows["kept"] == kept].iterrows()}
        for method in group.keys() - set(methods):
            _draw_random(axes, place, 100 * group[method]["sd"])
        present = [method for method in methods if method in group]
        for turn, method in enumerate(present):
            across = place + _GROUP_WIDTH * ((turn + 0.5) / len(present) - 0.5)
            _draw_method(axes, across, group[method], styles[method])
    axes.set_ylim(*_limits(rows))
    axes.set_xlim(-0.5, len(shares) - 0.5)
    for border in range(1, len(shares)):
        axes.axvline(border - 0.5, color="#e6e6e6", linewidth=0.6, zorder=0)
    axes.grid(True, axis="y")


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Return limits that hold all marks and nine tenths of the ends of intervals; the others run out of the panel."""
    points = 100 * rows[["minus_random", "minus_random_low", "minus_random_high"]]
    low = float(min(-_LEAST_POINTS, 1.1 * points["minus_random"].min(), points["minus_random_low"].quantile(0.1)))
    high = float(max(_LEAST_POINTS, 1.1 * points["minus_random"].max(), points["minus_random_high"].quantile(0.9)))
    return low, high


def _draw_random(axes: Axes, place: int, deviation: float) -> None:
    if not math.isnan(deviation):
        axes.fill_between(
            [place - 0.5, place + 0.5], -deviation, deviation, color="#d9d9d9", alpha=0.6, linewidth=0, zorder=0.5
        )


def _draw_method(axes: Axes, across: float, row: pd.Series[Any], style: LineStyle) -> None:
    low, mean, high = (100 * row[f"minus_random{end}"] for end in ("_low", "", "_high"))
    is_told = row["told"] in ("higher", "lower")
    axes.plot([across, across], [low, high], color=style.colour, linewidth=0.9, zorder=2)
    axes.plot(
        [across],
        [mean],
        style.marker,
        color=style.colour,
        markersize=4,
        markerfacecolor=style.colour if is_told else "white",
        zorder=3,
    )
