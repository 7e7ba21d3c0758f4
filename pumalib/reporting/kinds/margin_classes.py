"""Histograms of margins by class and source: a row of shades per class, a panel per source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pumalib.data.pool import read_pool_rows
from pumalib.errors import DataError
from pumalib.reporting.colours import THREAT_COLOUR, ZERO_COLOUR
from pumalib.reporting.figures import (
    COLUMN_WIDTH_INCHES,
    NORM_NAMES,
    as_label,
    figure_style,
    new_stack,
    write_above,
)
from pumalib.reporting.files import as_text, markdown_table
from pumalib.reporting.histograms import binned, shared_edges
from pumalib.reporting.margin_counts import Margins, read_margins, source_names
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.settings.margin_classes import MarginClassesSettings

_MOST_NAMED = 25
"""Classes that are all named beside the figure; of more, every fifth, tenth ... is."""
_ROW_INCHES, _LEAST_INCHES, _MOST_INCHES = 0.14, 0.9, 3.2
"""Height of a class, and least and greatest height of a panel."""
_QUANTILES = (0.05, 0.5, 0.95)


def class_bins(margins: Margins, labels: NDArray[np.int64], class_names: Sequence[str], epsilon: float) -> pd.DataFrame:
    """Return a row per source, class with rows, and bin: source, class, bin_low, bin_high, num_rows.

    Bins are those of all classes together; the first and last of a class hold what lies beyond the drawn range.

    Args:
        margins: Margins of N rows.
        labels: Of the same rows, int64 [N].
        class_names: In label order.
        epsilon: Bound of the threat, pixel scale; the drawn range holds it with both signs.

    Raises:
        DataError: If lengths differ, a margin is not finite or a source is unknown.
    """
    if len(labels) != len(margins.margin):
        raise DataError(f"expected a label of each margin, got {len(labels)} labels of {len(margins.margin)} margins")
    margins.counts(epsilon)  # refuses what cannot be binned
    edges = shared_edges(margins.groups().values(), [-epsilon, epsilon])
    sources = source_names(margins.source)
    parts = []
    for source in margins.groups():
        for label, name in enumerate(class_names):
            values = margins.margin[(sources == source) & (labels == label)]
            if len(values):
                bins = binned({"rows": values}, edges)
                parts.append(bins.assign(source=source).assign(**{"class": name}))
    return pd.concat(parts, ignore_index=True)[["source", "class", "bin_low", "bin_high", "num_rows"]]


def draw_classes(bins: pd.DataFrame, norm: str, epsilon: float) -> Figure:
    """Draw `class_bins`: darker where more of a class's rows of that source lie, lines at 0 and at +-epsilon."""
    panels = {str(source): rows for source, rows in bins.groupby("source", sort=False)}
    shares = {source: _shares(rows) for source, rows in panels.items()}
    darkest = max(float(each.to_numpy().max()) for each in shares.values())
    height = sum(_panel_height(len(each)) for each in shares.values())
    with figure_style():
        figure, all_axes = new_stack(COLUMN_WIDTH_INCHES, 0.5 + height, len(panels))
        for axes, (source, each) in zip(all_axes, shares.items(), strict=True):
            edges = np.append(each.columns.to_numpy(np.float64), panels[source]["bin_low"].max())
            mesh = axes.pcolormesh(
                edges, np.arange(len(each) + 1), each, cmap="Blues", vmin=0, vmax=darkest, edgecolors="face", lw=0.1
            )
            _name_classes(axes, [as_label(str(name)) for name in each.index])
            axes.set_title(f"{source} rows", loc="left", pad=12)
            axes.axvline(0, color=ZERO_COLOUR, linewidth=0.8)
            for value, text in ((-epsilon, "\N{MINUS SIGN}ε"), (epsilon, "+ε")):
                axes.axvline(value, color=THREAT_COLOUR, linestyle=(0, (1, 1.5)), linewidth=0.9)
                write_above(axes, value, text)
        all_axes[-1].set_xlabel(f"margin ({NORM_NAMES.get(norm, norm)}, pixel scale)")
        figure.colorbar(mesh, ax=all_axes, label="share of the class's rows (% per bin)", aspect=30, pad=0.02)
    return figure


def _shares(rows: pd.DataFrame) -> pd.DataFrame:
    """Return per cent of the rows of each class [C, B] in the bins drawn, by class and lower edge."""
    counts = rows.pivot(index="class", columns="bin_low", values="num_rows").loc[list(dict.fromkeys(rows["class"]))]
    shares = 100 * counts.div(counts.sum(axis=1), axis=0)
    return shares.iloc[:, 1:-1]


def _panel_height(num_classes: int) -> float:
    return min(max(_ROW_INCHES * num_classes, _LEAST_INCHES), _MOST_INCHES) + 0.25


def _name_classes(axes: Axes, names: Sequence[str]) -> None:
    step = 1 if len(names) <= _MOST_NAMED else 5 * -(-len(names) // (5 * _MOST_NAMED))
    axes.set_yticks(np.arange(0, len(names), step) + 0.5, names[::step])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names), 0)


def classes_page(margins: Margins, labels: NDArray[np.int64], class_names: Sequence[str], epsilon: float) -> str:
    """Return rows, negative share and quantiles of each class and source, and what the figure shows."""
    header = ["class", "source", "rows", "negative (%)", "\\|margin\\| < epsilon (%)"]
    header += [f"{100 * quantile:g} % quantile" for quantile in _QUANTILES]
    sources = source_names(margins.source)
    cells = []
    for label, name in enumerate(class_names):
        for source in margins.groups():
            values = margins.margin[(sources == source) & (labels == label)].astype(np.float64)
            if len(values):
                shares = [100 * (values < 0).mean(), 100 * (np.abs(values) < epsilon).mean()]
                numbers = [f"{share:.1f}" for share in shares]
                numbers += [f"{value:.4g}" for value in np.quantile(values, _QUANTILES)]
                cells.append([as_text(name), source, str(len(values)), *numbers])
    return "\n\n".join(
        [
            f"Signed {NORM_NAMES.get(margins.norm, margins.norm)} margins of `{margins.score}` (pixel scale) by class "
            "and source, each row of shades a histogram: the share of that class's rows of that source in each bin; "
            "negative where the margin model is wrong. Rows that did not converge stand at their bound. The drawn "
            "range leaves out at most half a per cent of a source at each end; the CSV counts every row. One seed; no "
            "error bars.",
            f"Dotted lines: ±epsilon = ±{epsilon:.4g}.",
            *margins.notes,
            markdown_table(header, cells),
        ]
    )


def make(settings: MarginClassesSettings, *, score: Path, pool: Path, epsilon: float) -> ReportParts:
    """Make the histograms from a score.

    Args:
        settings: of the report.
        score: score file.
        pool: its pool file.
        epsilon: of the threat, pixel scale.
    """
    rows = read_pool_rows(pool)
    margins = read_margins(settings.score, score, rows)
    assert margins.rows is not None
    return classes_parts(margins, rows.labels[margins.rows], rows.class_names, epsilon)


def classes_parts(
    margins: Margins, labels: NDArray[np.int64], class_names: Sequence[str], epsilon: float
) -> ReportParts:
    """Return the figure, its bins and its page; arguments as in `class_bins`."""
    bins = class_bins(margins, labels, class_names, epsilon)
    figure = draw_classes(bins, margins.norm, epsilon)
    page = classes_page(margins, labels, class_names, epsilon)
    return ReportParts(bins, figure, "Margins by class and source", page)
