"""The figure of clean and robust accuracy against images seen, from the histories of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from pumalib.errors import DataError
from pumalib.reporting.accuracy_lines import draw_accuracies
from pumalib.reporting.colours import RunStyles
from pumalib.reporting.files import markdown_table
from pumalib.reporting.histories import ACCURACIES, read_measured
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.run_files import RunFile
from pumalib.reporting.settings.training_curves import TrainingCurvesSettings
from pumalib.reporting.statistics import spread

_SCALES = ((1e6, " (millions)"), (1e3, " (thousands)"), (1.0, ""))


def read_histories(files: Sequence[RunFile]) -> pd.DataFrame:
    """Read the measured epochs: run, seed, images_seen, clean_accuracy, robust_accuracy, split.

    Raises:
        ArtifactError: A file without these columns, or without a measured epoch.
    """
    return pd.concat([_read_history(file) for file in files], ignore_index=True)


def _read_history(file: RunFile) -> pd.DataFrame:
    measured = read_measured(file.path, "images_seen")
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
    for name in ACCURACIES:
        table[f"{name}_mean"], table[f"{name}_sd"] = groups[name].mean(), groups[name].std()
    return table.reset_index()


def draw_curves(table: pd.DataFrame, settings: TrainingCurvesSettings, styles: RunStyles) -> Figure:
    """Draw `curves_table` in per cent: clean accuracy above robust accuracy, a band of one standard deviation."""
    scale, unit = next(each for each in _SCALES if table["images_seen"].max() >= each[0])
    scaled = table.assign(images_seen=table["images_seen"] / scale)
    return draw_accuracies(scaled, "images_seen", f"images seen{unit}", settings.baseline, styles)


def curves_page(table: pd.DataFrame, settings: TrainingCurvesSettings) -> str:
    """Return the last values as a table, what the figure shows, over how many seeds and on which images."""
    last = table.groupby("run", sort=False).last().reset_index()
    header = ["run", "images seen", "clean accuracy (%)", "robust accuracy (%)"]
    cells = [
        [f"`{row['run']}`", str(row["images_seen"]), *(_cell(row, name) for name in ACCURACIES)]
        for row in last.to_dict("records")
    ]
    split = " and ".join(dict.fromkeys(table["split"]))
    dashed = f" Dashed: `{settings.baseline}`." if settings.baseline else ""
    return "\n\n".join(
        [
            f"At the end of training:\n\n{markdown_table(header, cells)}",
            "Clean accuracy and robust accuracy (PGD-10 at the threat's epsilon) of the averaged weights against "
            f"images seen in training, measured on some {split} images, never on test images.{dashed}",
            "Lines are means over seeds; bands (bars where there are more than three lines), and ± in the table, one "
            "standard deviation over seeds (n - 1; none for a single seed). Seeds per run: "
            f"{spread(table['num_seeds'])}. They show how training went; what a run is worth stands in the results on "
            "test images.",
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
