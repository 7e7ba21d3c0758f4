"""The figure of clean and robust accuracy against images seen, from the histories of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pumalib.errors import ArtifactError, DataError
from pumalib.files.frames import read_frame
from pumalib.reporting.colours import LineStyle, RunStyles, run_line_styles
from pumalib.reporting.figures import (
    COLUMN_WIDTH_INCHES,
    draw_line,
    figure_style,
    legend_columns,
    new_stack,
)
from pumalib.reporting.files import markdown_table
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.run_files import RunFile
from pumalib.reporting.settings.training_curves import TrainingCurvesSettings
from pumalib.reporting.statistics import spread

_ACCURACIES = ("clean_accuracy", "robust_accuracy")
_NEEDED = ("images_seen", *_ACCURACIES, "split")
_BAND_ALPHA, _SHARED_ALPHA = 0.15, 0.4
"""Opacity of a band, and of all of them together: many bands over each other must leave the lines visible."""
_SCALES = ((1e6, " (millions)"), (1e3, " (thousands)"), (1.0, ""))


def read_histories(files: Sequence[RunFile]) -> pd.DataFrame:
    """Read the measured epochs: run, seed, images_seen, clean_accuracy, robust_accuracy, split.

    Raises:
        ArtifactError: A file without these columns, or without a measured epoch.
    """
    return pd.concat([_read_history(file) for file in files], ignore_index=True)


def _read_history(file: RunFile) -> pd.DataFrame:
    history = read_frame(file.path, "a history")
    absent = [column for column in _NEEDED if column not in history]
    if absent:
        raise ArtifactError(f"expected the column {absent[0]}, found none in {file.path}; train this run again")
    measured = history[list(_NEEDED)].dropna(subset=list(_ACCURACIES))
    if measured.empty:
        raise ArtifactError(f"expected a measured epoch, found none in {file.path}; train this run again")
    measured.insert(0, "seed", file.seed)
    measured.insert(0, "run", file.run)
    return measured


def curves_table(histories: pd.DataFrame) -> pd.DataFrame:
    """Return a row per run and number of images seen, means and standard deviations (n - 1) over seeds.

    Columns: run, images_seen, num_seeds, split, then `_mean` and `_sd` of clean_accuracy and robust_accuracy, shares
    in [0, 1]; `_sd` is nan for one seed. Runs keep their order.

    Raises:
        DataError: If a run was not measured at the same places with every seed, or on images of several splits.
    """
    for run, rows in histories.groupby("run", sort=False):
        if rows.groupby("images_seen")["seed"].nunique().nunique() > 1 or rows["split"].nunique() > 1:
            raise DataError(
                f'expected run "{run}" to be measured after the same images and on one split with every seed, got '
                "several; train it again"
            )
    groups = histories.groupby(["run", "images_seen"], sort=False)
    table = groups.agg(num_seeds=("seed", "nunique"), split=("split", "first"))
    for name in _ACCURACIES:
        table[f"{name}_mean"], table[f"{name}_sd"] = groups[name].mean(), groups[name].std()
    return table.reset_index()


def draw_curves(table: pd.DataFrame, settings: TrainingCurvesSettings, styles: RunStyles) -> Figure:
    """Draw `curves_table` in per cent: clean accuracy above robust accuracy, a band of one standard deviation."""
    runs = list(dict.fromkeys(table["run"]))
    lines = run_line_styles(runs, styles, settings.baseline)
    alpha = min(_BAND_ALPHA, _SHARED_ALPHA / len(runs))
    scale, unit = next(each for each in _SCALES if table["images_seen"].max() >= each[0])
    with figure_style():
        figure, panels = new_stack(COLUMN_WIDTH_INCHES, 3.9)
        for axes, name in zip(panels, _ACCURACIES, strict=True):
            for run in runs:
                _draw_line(axes, run, table[table["run"] == run], name, lines[run], scale, alpha)
            axes.set_ylabel(f"{name.replace('_', ' ')} (%)")
            axes.grid(True)
        panels[-1].set_xlabel(f"images seen{unit}")
        panels[-1].set_xlim(left=0)
        handles, labels = panels[0].get_legend_handles_labels()
        ncols = legend_columns(labels, COLUMN_WIDTH_INCHES, 3)
        figure.legend(handles, labels, loc="outside upper center", ncols=ncols, handlelength=2.6)
    return figure


def _draw_line(
    axes: Axes, run: str, rows: pd.DataFrame, name: str, style: LineStyle, scale: float, alpha: float
) -> None:
    seen = rows["images_seen"] / scale
    mean, deviation = 100 * rows[f"{name}_mean"], 100 * rows[f"{name}_sd"].fillna(0)
    axes.fill_between(seen, mean - deviation, mean + deviation, color=style.colour, alpha=alpha, linewidth=0)
    draw_line(axes, seen, mean, style, run)


def curves_page(table: pd.DataFrame, settings: TrainingCurvesSettings) -> str:
    """Return the last values as a table, what the figure shows, over how many seeds and on which images."""
    last = table.groupby("run", sort=False).last().reset_index()
    header = ["run", "images seen", "clean accuracy (%)", "robust accuracy (%)"]
    cells = [
        [f"`{row['run']}`", str(row["images_seen"]), *(_cell(row, name) for name in _ACCURACIES)]
        for row in last.to_dict("records")
    ]
    split = " and ".join(dict.fromkeys(table["split"]))
    dashed = f" Dashed: `{settings.baseline}`." if settings.baseline else ""
    return "\n\n".join(
        [
            f"At the end of training:\n\n{markdown_table(header, cells)}",
            "Clean accuracy and robust accuracy (PGD-10 at the threat's epsilon) of the averaged weights against "
            f"images seen in training, measured on some {split} images, never on test images.{dashed}",
            "Lines are means over seeds; bands, and ± in the table, one standard deviation over seeds (n - 1; none for "
            f"a single seed). Seeds per run: {spread(table['num_seeds'])}. They show how training went; what a run is "
            "worth stands in the results on test images.",
        ]
    )


def _cell(row: Mapping[Any, Any], name: str) -> str:
    mean, deviation = 100 * row[f"{name}_mean"], 100 * row[f"{name}_sd"]
    return f"{mean:.2f}" if pd.isna(deviation) else f"{mean:.2f} ± {deviation:.2f}"


def make(settings: TrainingCurvesSettings, *, files: Sequence[RunFile], styles: RunStyles) -> ReportParts:
    """Make the curves from the history of each run and seed."""
    table = curves_table(read_histories(files))
    figure = draw_curves(table, settings, styles)
    return ReportParts(table, figure, "Accuracy against images seen", curves_page(table, settings))
