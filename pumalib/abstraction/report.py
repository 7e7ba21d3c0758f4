"""The figure of the abstraction model: accuracy against epsilon, a line per training; and a page with every student."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pumalib.abstraction.settings import AbstractionCurvesSettings
from pumalib.abstraction.table import MEASURES, read_table
from pumalib.reporting.colours import PointStyle, run_styles
from pumalib.reporting.figures import PAGE_WIDTH_INCHES, FigurePaths, figure_style, new_figure, save_figure
from pumalib.reporting.files import markdown_image, markdown_table, write_csv, write_text
from pumalib.reporting.statistics import half_width, spread

_NAMES = ["training", "student", "learned_for"]
_TITLES = {"clean_accuracy": "clean accuracy (%)", "robust_accuracy": "robust accuracy at epsilon (%)"}
_LABELS = {
    "natural": "natural training",
    "adversarial": "adversarial training",
    "learned_scales": "natural training, learned scales",
    "learned_rows": "natural training, learned rows",
}


def summarise_students(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row per training, student, whom its data were learned for, and epsilon, in the table's order.

    Columns: these four, then `_mean`, `_low` and `_high` (95 % t-interval over seeds; nan below three) of each measure,
    and num_seeds.
    """
    rows = []
    for key, group in table.groupby([*_NAMES, "epsilon"], sort=False):
        row: dict[str, Any] = dict(zip([*_NAMES, "epsilon"], key, strict=True))
        for name in MEASURES:
            values = group[name].tolist()
            mean, half = float(np.mean(values)), half_width(values)
            row |= {f"{name}_mean": mean, f"{name}_low": mean - half, f"{name}_high": mean + half}
        rows.append({**row, "num_seeds": len(group)})
    return pd.DataFrame(rows)


def chosen_lines(summary: pd.DataFrame, settings: AbstractionCurvesSettings) -> pd.DataFrame:
    """Return the rows that are drawn: one student and one kind of learned data, beside adversarial training."""
    is_natural = (summary["student"] == settings.student) & summary["learned_for"].isin(["-", settings.learned_for])
    return summary[is_natural | (summary["training"] == "adversarial")].sort_values("epsilon", kind="stable")


def draw_abstraction(lines: pd.DataFrame) -> Figure:
    """Draw clean beside robust accuracy in per cent against epsilon, with 95 % t-intervals."""
    styles = run_styles(list(_LABELS))
    with figure_style():
        figure, panels = new_figure(PAGE_WIDTH_INCHES, 2.9, len(_TITLES))
        for axes, (name, title) in zip(panels, _TITLES.items(), strict=True):
            for training, label in _LABELS.items():
                _draw_line(axes, label, lines[lines["training"] == training], name, styles[training])
            axes.set_title(title)
            axes.set_xlabel("epsilon")
            axes.set_ylim(0, 102)
            axes.grid(True)
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=2)
    return figure


def _draw_line(axes: Axes, label: str, rows: pd.DataFrame, name: str, style: PointStyle) -> None:
    mean, half = 100 * rows[f"{name}_mean"], 100 * (rows[f"{name}_high"] - rows[f"{name}_mean"]).fillna(0)
    axes.errorbar(
        rows["epsilon"],
        mean,
        half,
        label=label,
        color=style.colour,
        marker=style.marker,
        markersize=4,
        linewidth=1.1,
        elinewidth=0.7,
        capsize=1.5,
    )


def abstraction_page(summary: pd.DataFrame, settings: AbstractionCurvesSettings) -> str:
    """Return what the figure shows, and every student's robust accuracy and use of weak features."""
    epsilons = sorted(summary["epsilon"].unique())
    largest = f"{epsilons[-1]:g}"
    header = ["training", "learned for", "student", *(f"{epsilon:g}" for epsilon in epsilons)]
    header += [f"clean at {largest}", f"weak weights at {largest}", f"weak mean at {largest}"]
    rows = []
    for key, group in summary.groupby(_NAMES, sort=False):
        training, student, learned_for = map(str, key)
        ordered = group.sort_values("epsilon").to_dict("records")
        last = ordered[-1]
        cells = [_per_cent(row, "robust_accuracy") for row in ordered] + [_per_cent(last, "clean_accuracy")]
        weak = [_per_cent(last, "weak_weight_share"), f"{last['weak_mean_norm_mean']:.3f}"]
        rows.append([_LABELS[training].split(", ")[-1], learned_for, student, *cells, *weak])
    return "\n\n".join(
        [
            f"Figure: the {settings.student} student, trained naturally on natural data and on data learned for "
            f"{settings.learned_for}; adversarial training is logistic. Means over seeds, 95 % t-intervals.",
            markdown_table(header, rows),
            "Robust accuracy (%) by epsilon, exact for each student's weights, mean ± half a 95 % t-interval over "
            f"{spread(summary['num_seeds'])} seeds. Then, at the largest epsilon: clean accuracy (%); share (%) of the "
            "weights' L1 norm on weak features; L2 norm of the class mean of weak features in the data trained on.",
        ]
    )


def _per_cent(row: Mapping[Any, Any], name: str) -> str:
    mean, half = 100 * row[f"{name}_mean"], 100 * (row[f"{name}_high"] - row[f"{name}_mean"])
    return f"{mean:.1f}" if np.isnan(half) else f"{mean:.1f} ± {half:.1f}"


def write_report(settings: Mapping[str, Any], table: Path, csv: Path, markdown: Path, png: Path, svg: Path) -> None:
    """Write the figure (PNG, SVG), means and intervals of every student (CSV) and the page (Markdown).

    Args:
        settings: the report's.
        table: `abstraction.csv`.
        csv, markdown, png, svg: where the report goes.
    """
    curves = AbstractionCurvesSettings.model_validate(settings)
    summary = summarise_students(read_table(table))
    figure = FigurePaths(png, svg)
    save_figure(draw_abstraction(chosen_lines(summary, curves)), figure.png, figure.svg)
    write_csv(csv, summary)
    image = markdown_image(markdown, png, "Accuracy against epsilon")
    write_text(markdown, f"{image}\n\n{abstraction_page(summary, curves)}")
