"""The figure of clean above robust accuracy along a training, a line a run."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pumalib.reporting.colours import LineStyle, RunStyles, run_line_styles
from pumalib.reporting.figures import (
    COLUMN_WIDTH_INCHES,
    draw_line,
    figure_style,
    legend_columns,
    new_stack,
)
from pumalib.reporting.histories import ACCURACIES

_BAND_ALPHA, _SHARED_ALPHA = 0.15, 0.4
"""Opacity of a band, and of all of them together: many bands over each other must leave the lines visible."""


def draw_accuracies(
    table: pd.DataFrame, place: str, label: str, baseline: str | None, styles: RunStyles, *, with_points: bool = False
) -> Figure:
    """Draw accuracies in per cent, a band of one standard deviation.

    Args:
        table: columns run, `place`, and `_mean` and `_sd` of clean_accuracy and robust_accuracy, shares in [0, 1].
        place: column that says where a point stands along the training.
        label: of that axis.
        baseline: run drawn dashed.
        styles: of the runs.
        with_points: whether a dot stands at each row, for lines of few.
    """
    runs = list(dict.fromkeys(table["run"]))
    lines = run_line_styles(runs, styles, baseline)
    alpha = min(_BAND_ALPHA, _SHARED_ALPHA / len(runs))
    with figure_style():
        figure, panels = new_stack(COLUMN_WIDTH_INCHES, 3.9)
        for axes, name in zip(panels, ACCURACIES, strict=True):
            for run in runs:
                rows = table[table["run"] == run]
                _draw_run(axes, run, rows, (place, name), lines[run], alpha)
                if with_points:
                    axes.plot(rows[place], 100 * rows[f"{name}_mean"], ".", color=lines[run].colour, markersize=4)
            axes.set_ylabel(f"{name.replace('_', ' ')} (%)")
            axes.grid(True)
        panels[-1].set_xlabel(label)
        panels[-1].set_xlim(left=0)
        handles, labels = panels[0].get_legend_handles_labels()
        ncols = legend_columns(labels, COLUMN_WIDTH_INCHES, 3)
        figure.legend(handles, labels, loc="outside upper center", ncols=ncols, handlelength=2.6)
    return figure


def _draw_run(
    axes: Axes, run: str, rows: pd.DataFrame, columns: tuple[str, str], style: LineStyle, alpha: float
) -> None:
    place, name = columns
    mean, deviation = 100 * rows[f"{name}_mean"], 100 * rows[f"{name}_sd"].fillna(0)
    axes.fill_between(rows[place], mean - deviation, mean + deviation, color=style.colour, alpha=alpha, linewidth=0)
    draw_line(axes, rows[place], mean, style, run)
