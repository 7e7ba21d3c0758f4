"""The figure of clean above robust accuracy along a training, a line per run."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from pumalib.reporting.colours import RunStyles, run_line_styles
from pumalib.reporting.figures import (
    COLUMN_WIDTH_INCHES,
    draw_line,
    draw_spread,
    figure_style,
    legend_columns,
    new_stack,
)
from pumalib.reporting.histories import ACCURACIES


def draw_accuracies(
    table: pd.DataFrame, place: str, label: str, baseline: str | None, styles: RunStyles, *, with_points: bool = False
) -> Figure:
    """Draw accuracies in per cent, a band (of many lines, bars) of one standard deviation either way.

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
    with figure_style():
        figure, panels = new_stack(COLUMN_WIDTH_INCHES, 3.9)
        for axes, name in zip(panels, ACCURACIES, strict=True):
            for index, run in enumerate(runs):
                rows = table[table["run"] == run]
                mean, deviation = 100 * rows[f"{name}_mean"], 100 * rows[f"{name}_sd"].fillna(0)
                draw_spread(axes, rows[place], (mean - deviation, mean + deviation), lines[run], (index, len(runs)))
                draw_line(axes, rows[place], mean, lines[run], run)
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
