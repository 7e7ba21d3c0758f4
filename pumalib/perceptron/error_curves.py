"""The figures of the theory: error against alpha, a panel a strategy, a line a kept fraction (PUMA Figs. 1-4)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pumalib.perceptron.fits import Decay, Slope, fit_decay
from pumalib.perceptron.ratios import error_ratios, ratio_cell
from pumalib.perceptron.settings import ErrorCurvesSettings, Metric
from pumalib.perceptron.table import Line, envelope, lines_of
from pumalib.reporting.figures import (
    PAGE_WIDTH_INCHES,
    FigurePaths,
    figure_style,
    new_figure,
    plain_log_ticks,
    save_figure,
)
from pumalib.reporting.files import markdown_image, markdown_table, write_csv, write_text
from pumalib.reporting.statistics import NO_INTERVAL, half_width

UNPRUNED_COLOUR = "#cc79a7"
METRIC_NAMES: dict[Metric, str] = {"one_minus_overlap": "1 - R", "angle_error": "arccos(R) / pi"}
AFTER, BEFORE = "alpha = rows after pruning / K", "rows before pruning / K"
STRATEGY_NAMES = {"none": "no pruning", "pe": "PE (highest margins pruned)", "pd": "PD (lowest margins pruned)"}


def curve_points(lines: Sequence[Line]) -> pd.DataFrame:
    """Return the plotted numbers, one line an alpha.

    Columns: strategy, kept_fraction, alpha; mean, low, high (95 % t-interval); ratio, ratio_low, ratio_high (to no
    pruning, see `ratios.error_ratios`); num_seeds; alpha_before (rows before pruning and the filter over K);
    mislabelled_share; num_unfinished (students that did not reach their tolerance).
    """
    (unpruned,) = (line for line in lines if line.strategy == "none")
    rows = []
    for line in lines:
        for column, (alpha, ratio) in enumerate(zip(line.alphas, error_ratios(line, unpruned), strict=True)):
            errors = line.errors[:, column]
            mean, half = float(errors.mean()), _half_width(errors)
            added = (line.alphas_before[column], line.mislabelled_share, int(line.unfinished[column]))
            rows.append((line.strategy, line.kept_fraction, alpha, mean, mean - half, mean + half, *ratio, *added))
    names = [
        "strategy",
        "kept_fraction",
        "alpha",
        "mean",
        "low",
        "high",
        "ratio",
        "ratio_low",
        "ratio_high",
        "num_seeds",
        "alpha_before",
        "mislabelled_share",
        "num_unfinished",
    ]
    return pd.DataFrame(rows, columns=names)


def draw_error_curves(lines: Sequence[Line], metric: Metric) -> Figure:
    """Draw a panel a strategy on log axes, by the rows after pruning and, below, before; each has the unpruned line."""
    strategies = [name for name in STRATEGY_NAMES if name != "none" and name in {line.strategy for line in lines}]
    with figure_style():
        figure, panels = new_figure(PAGE_WIDTH_INCHES, 5.2, len(strategies), 2)
        for place, axes in enumerate(panels):
            strategy = strategies[place % len(strategies)]
            shown = [line for line in lines if line.strategy in ("none", strategy)]
            _draw_panel(axes, shown if place < len(strategies) else [before_pruning(line) for line in shown])
            prepare_axes(axes, AFTER if place < len(strategies) else BEFORE)
            axes.set_title(STRATEGY_NAMES[strategy] if place < len(strategies) else "the same, by rows before pruning")
        for axes in panels[:: len(strategies)]:
            axes.set_ylabel(f"error {METRIC_NAMES[metric]}")
        panels[len(strategies) - 1].legend(title="fraction kept", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def before_pruning(line: Line) -> Line:
    """Return a line by its rows before pruning."""
    return line._replace(alphas=line.alphas_before)


def _draw_panel(axes: Axes, lines: Sequence[Line]) -> None:
    pruned = [line for line in lines if line.strategy != "none"]
    shades = colormaps["viridis"](np.linspace(0.85, 0.0, max(len(pruned), 1)))
    for line in lines:
        if line.strategy == "none":
            draw_line(axes, line, "1", color=UNPRUNED_COLOUR, linewidth=2.0, zorder=5)
    for line, colour in zip(pruned, shades, strict=False):
        draw_line(axes, line, f"{line.kept_fraction:g}", color=colour)


def draw_line(axes: Axes, line: Line, label: str, **style: Any) -> None:
    """Draw a mean over seeds with its 95 % interval, on log axes.

    Means of 0 and of students that do not exist are left out; an interval is cut a decade below its mean, so that
    those that reach 0 leave the axis be. A ring marks a point where some student did not reach its tolerance.
    """
    means = line.errors.mean(0)
    halves = np.nan_to_num([_half_width(column) for column in line.errors.T])
    lower = np.minimum(halves, 0.9 * means)
    is_drawn = means > 0
    axes.errorbar(
        line.alphas[is_drawn],
        means[is_drawn],
        np.stack([lower, halves])[:, is_drawn],
        label=label,
        capsize=1.5,
        elinewidth=0.6,
        marker="o",
        markersize=2,
        **style,
    )
    is_ringed = is_drawn & (line.unfinished > 0)
    axes.plot(line.alphas[is_ringed], means[is_ringed], "o", markersize=6, markerfacecolor="none", color=style["color"])


def _half_width(errors: NDArray[np.float64]) -> float:
    """Return half the 95 % t-interval of a mean over seeds, nan where a student does not exist."""
    return float("nan") if np.isnan(errors).any() else half_width(errors.tolist())


def prepare_axes(axes: Axes, label: str) -> None:
    """Set log axes with plain numbers of alpha."""
    axes.set_xscale("log", base=2 if label == AFTER else 10)
    axes.set_yscale("log")
    plain_log_ticks(axes.yaxis)
    if label == AFTER:
        axes.xaxis.set_major_formatter("{x:g}")
    else:
        plain_log_ticks(axes.xaxis)
    axes.set_xlabel(label)
    axes.grid(True)


def write_error_curves(
    table: pd.DataFrame, settings: ErrorCurvesSettings, csv_path: Path, markdown_path: Path, figure: FigurePaths
) -> None:
    """Write the figure (PNG, SVG), its points (CSV), and a page with fits and best kept fractions (Markdown)."""
    lines = lines_of(table, settings.student, settings.teacher, settings.epsilon, settings.is_filtered, settings.metric)
    save_figure(draw_error_curves(lines, settings.metric), figure.png, figure.svg)
    write_csv(csv_path, curve_points(lines))
    parts = [
        markdown_image(markdown_path, figure.png, "Error against alpha"),
        _caption(settings, len(lines[0].errors)),
        _fits_table(lines, settings.fit_from_alpha),
        f"Fits over alpha >= {settings.fit_from_alpha:g}: slope of log error against log alpha (power law) and against "
        "alpha (exponential), mean over seeds with a 95 % t-interval, and the fit whose line lies nearer the mean log "
        "errors. A dash: an error of 0, or a student that does not exist.",
        _best_table(lines),
        "Kept fraction with the smallest mean error at each alpha, 1 being no pruning. A fraction at the lower "
        "end of the grid is no optimum: a smaller one may be better.",
        _ratio_table(lines),
        "Error over that of no pruning, paired by seed: geometric means over seeds; a star where the 95 % t-interval, "
        "which the CSV file has, leaves out 1. A dash: an error of 0, or a student that does not exist.",
        _shares_table(lines),
        "Share of the kept rows that lie within epsilon of the teacher's boundary, so that the attack can "
        "carry them across: exact, by the distribution of margins.",
        existence(lines),
    ]
    write_text(markdown_path, "\n\n".join(parts))


def existence(lines: Sequence[Line]) -> str:
    """Return how many students do not exist or did not reach their tolerance, as a sentence."""
    count = sum(line.errors.size for line in lines)
    missing = sum(int(np.isnan(line.errors).sum()) for line in lines)
    unfinished = sum(int(line.unfinished.sum()) for line in lines)
    return (
        f"Of {count} students, {missing} are infeasible (no weights classify every attacked row rightly) and "
        f"{unfinished} did "
        "not reach their tolerance. A mean needs a student of every seed."
    )


def _shares_table(lines: Sequence[Line]) -> str:
    rows = [[line.strategy, f"{line.kept_fraction:g}", f"{100 * line.mislabelled_share:.3g} %"] for line in lines]
    return markdown_table(["strategy", "kept", "rows within epsilon"], rows)


def _caption(settings: ErrorCurvesSettings, num_seeds: int) -> str:
    filtered = "margins of at most epsilon removed first, " if settings.is_filtered else ""
    return (
        f"Error {METRIC_NAMES[settings.metric]} of the {settings.student} student, {settings.teacher} teacher, FGSM "
        f"training at epsilon {settings.epsilon:g}, {filtered}mean over {num_seeds} seeds with 95 % t-intervals "
        "(drawn no further than a decade down). Curves of one seed share their random numbers, so their differences "
        "are known better than their intervals suggest. Above: by the rows after pruning. Below: by the rows "
        "that had to be drawn. A ring marks points where a student did not reach its tolerance."
    )


def _fits_table(lines: Sequence[Line], from_alpha: float) -> str:
    rows = []
    for line in lines:
        is_fitted = line.alphas >= from_alpha
        fit = fit_decay(line.alphas[is_fitted], line.errors[:, is_fitted])
        rows.append([line.strategy, f"{line.kept_fraction:g}", *fit_cells(fit)])
    return markdown_table(["strategy", "kept", "power law", "exponential", "nearer"], rows)


def fit_cells(fit: Decay | None) -> list[str]:
    """Return both slopes with intervals and the law that is nearer, as cells of a table."""
    return [_slope(fit.power), _slope(fit.exponential), fit.better] if fit else ["-", "-", "-"]


def _slope(slope: Slope) -> str:
    if np.isnan(slope.low):
        return f"{slope.value:.3f} [{NO_INTERVAL}]"
    return f"{slope.value:.3f} [{slope.low:.3f}, {slope.high:.3f}]"


def _best_table(lines: Sequence[Line]) -> str:
    strategies = [name for name in ("pe", "pd") if name in {line.strategy for line in lines}]
    rows = [[name, *map(fraction_cell, envelope(lines, name)[1])] for name in strategies]
    return markdown_table(["best kept fraction at alpha", *(f"{alpha:g}" for alpha in lines[0].alphas)], rows)


def fraction_cell(fraction: float) -> str:
    """Return a kept fraction as a cell; a dash where no line has a student of every seed."""
    return "-" if np.isnan(fraction) else f"{fraction:g}"


def _ratio_table(lines: Sequence[Line]) -> str:
    (unpruned,) = (line for line in lines if line.strategy == "none")
    rows = [
        [line.strategy, f"{line.kept_fraction:g}", *map(ratio_cell, error_ratios(line, unpruned))]
        for line in lines
        if line.strategy != "none"
    ]
    return markdown_table(["strategy", "kept", *(f"{alpha:g}" for alpha in lines[0].alphas)], rows)
