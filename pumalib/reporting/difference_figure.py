"""The figure of a comparison: each run's difference to the baseline with its interval, a panel per metric."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pumalib.reporting.colours import RunStyles
from pumalib.reporting.figures import PAGE_WIDTH_INCHES, figure_style, new_figure
from pumalib.reporting.results import CLEAN_ACCURACY, Metric
from pumalib.reporting.statistics import NON_INFERIORITY_MARGIN

FIGURE_NOTE = f"Dashed line: the loss of {100 * NON_INFERIORITY_MARGIN:g} points that non-inferiority rules out."
"""What the figure cannot say by itself."""


def draw_differences(table: pd.DataFrame, metrics: Sequence[Metric], baseline: str, styles: RunStyles) -> Figure:
    """Draw one line per run other than the baseline, in percentage points; the first run on top.

    Args:
        table: Of `comparison_table`.
        metrics: Its metrics, one panel each.
        baseline: Its baseline, drawn as the line at 0.
        styles: Of the runs.
    """
    rows = table[table["run"] != baseline]
    with figure_style():
        figure, panels = new_figure(PAGE_WIDTH_INCHES, 0.9 + 0.24 * max(len(rows), 1), len(metrics))
        for axes, metric in zip(panels, metrics, strict=True):
            _draw_panel(axes, rows, metric, baseline, styles)
        panels[0].set_yticks(range(len(rows)), rows["run"].tolist())
        panels[0].set_ylim(len(rows) - 0.4, -0.6)
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, metric: Metric, baseline: str, styles: RunStyles) -> None:
    axes.axvline(0, color="#808080", linewidth=0.8, zorder=1)
    if metric != CLEAN_ACCURACY:
        limit = -100 * NON_INFERIORITY_MARGIN
        axes.axvline(limit, color="#b0b0b0", linestyle=(0, (4, 3)), linewidth=0.7, zorder=1)
    prefix = f"{metric.column}_minus_baseline"
    columns = [prefix, f"{prefix}_low", f"{prefix}_high"]
    for height, (run, numbers) in enumerate(zip(rows["run"], 100 * rows[columns].to_numpy(), strict=True)):
        mean, low, high = numbers
        style = styles[run]
        axes.plot([low, high], [height, height], color=style.colour, linewidth=1.2, zorder=2)
        axes.plot([mean], [height], style.marker, color=style.colour, markersize=5, zorder=3)
    axes.set_title(metric.title)
    axes.set_xlabel(f"difference to {baseline} (points)")
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0)
