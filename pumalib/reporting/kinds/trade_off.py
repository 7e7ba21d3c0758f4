"""The figure of clean accuracy against robust accuracy: up and to the right is better at both."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.reporting.axis_limits import limits_of, runs_far_off
from pumalib.reporting.colours import DASHES, PointStyle, RunStyles
from pumalib.reporting.figures import (
    COLUMN_WIDTH_INCHES,
    figure_style,
    legend_columns,
    new_figure,
)
from pumalib.reporting.kinds.trade_off_frontiers import distances_by_seed, frontier_distances, frontier_section
from pumalib.reporting.labels import LabelledPoint, Line, place_labels
from pumalib.reporting.outcomes import Measured, Outcomes, read_runs
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.results import (
    CLEAN_ACCURACY,
    check_results,
    chosen_attacks,
    chosen_runs,
    robust_accuracy,
    rows_of,
    values_by_seed,
)
from pumalib.reporting.settings.trade_off import TradeOffSettings
from pumalib.reporting.statistics import FEW_SEEDS_WARNING, MIN_SEEDS_FOR_CLAIM, spread, summarise
from pumalib.results.collect import RunFiles

_MARKER_SIZE, _STAR_SIZE = 5.5, 8.0
_SEED_SHARE, _SEED_ALPHA = 0.55, 0.55
"""Size of a seed's marker as a share of its run's, and opacity."""
_EDGE = 0.06
"""Share of an axis between its end and a run that lies beyond it."""
_FRONTIER_SHADES = ("#808080", "#404040", "#b0b0b0")
"""Colours of frontiers, the next one once all dashes are taken."""


def trade_off_points(results: pd.DataFrame, settings: TradeOffSettings) -> pd.DataFrame:
    """Return one row per run and seed: run, seed, clean_accuracy, robust_accuracy, num_samples.

    Runs stand in the order of the settings (or of the file); the baseline is first if they leave it out, runs of
    frontiers are last.

    Raises:
        DataError: If a run or the attack is missing, or a run's seeds differ between the two metrics.
    """
    check_results(results)
    runs = chosen_runs(results, settings.runs, settings.baseline)
    if settings.baseline not in runs:
        runs.insert(0, settings.baseline)
    on_frontiers = [run for names in settings.frontiers.values() for run in names]
    runs += [run for run in dict.fromkeys(chosen_runs(results, on_frontiers)) if run not in runs]
    (attack,) = chosen_attacks(results, [settings.attack])
    return pd.concat([_points_of_run(results, run, attack) for run in runs], ignore_index=True)


def _points_of_run(results: pd.DataFrame, run: str, attack: str) -> pd.DataFrame:
    clean = values_by_seed(results, run, CLEAN_ACCURACY)
    robust = values_by_seed(results, run, robust_accuracy(attack))
    unpaired = sorted(clean.keys() ^ robust.keys())
    if unpaired:
        raise DataError(
            f'run "{run}" has clean accuracy or robust accuracy ({attack}) but not both for seed '
            f"{', '.join(map(str, unpaired))}; attack it with these seeds too"
        )
    num_samples = rows_of(results, run, robust_accuracy(attack))["num_samples"].to_numpy()
    return pd.DataFrame(
        {
            "run": run,
            "seed": list(clean),
            "clean_accuracy": list(clean.values()),
            "robust_accuracy": list(robust.values()),
            "num_samples": num_samples,
        }
    )


def draw_trade_off(points: pd.DataFrame, settings: TradeOffSettings, styles: RunStyles) -> Figure:
    """Draw the points of `trade_off_points` in per cent: a marker per run, a small one per seed.

    A run that lies far off all others stands at the edge, with an arrow and its numbers.
    """
    with figure_style():
        figure, (axes,) = new_figure(COLUMN_WIDTH_INCHES, 3.2)
        outside = runs_beyond(points, settings.baseline)
        _set_limits(axes, points[~points["run"].isin(outside)])
        lines = _draw_frontiers(axes, points, settings)
        if lines:
            names = [f"frontier: {label}" for label in settings.frontiers]
            ncols = legend_columns(names, COLUMN_WIDTH_INCHES, 3)
            figure.legend(loc="outside upper left", ncols=ncols, handlelength=2.6)
        labels = [
            _draw_beyond(axes, run, rows, styles[run])
            if run in outside
            else _draw_run(axes, run, rows, styles[run], run == settings.baseline)
            for run, rows in ((str(run), rows) for run, rows in points.groupby("run", sort=False))
        ]
        axes.set_xlabel("clean accuracy (%)")
        axes.set_ylabel(f"robust accuracy, {settings.attack} (%)")
        axes.grid(True)
        cross = _draw_cross(axes, points[points["run"] == settings.baseline])
        place_labels(figure, axes, labels, _dots(points).tolist(), lines, cross)
    return figure


def runs_beyond(points: pd.DataFrame, baseline: str) -> list[str]:
    """Return the runs that stand beyond the axes, because they lie far off all others."""
    return runs_far_off({str(run): _dots(rows) for run, rows in points.groupby("run", sort=False)}, [baseline])


def _dots(points: pd.DataFrame) -> NDArray[np.float64]:
    return 100 * points[["clean_accuracy", "robust_accuracy"]].to_numpy(np.float64)


def _set_limits(axes: Axes, points: pd.DataFrame) -> None:
    clean, robust = _dots(points).T
    axes.set_xlim(*limits_of(clean))
    axes.set_ylim(*limits_of(robust))


def _draw_cross(axes: Axes, baseline: pd.DataFrame) -> list[Line]:
    """Draw the two lines through the baseline; return them."""
    x, y = map(float, _dots(baseline).mean(0))
    for draw, place in ((axes.axvline, x), (axes.axhline, y)):
        draw(place, color="#b0b0b0", linestyle=(0, (4, 3)), linewidth=0.7, zorder=1)
    return [[(place, y) for place in axes.get_xlim()], [(x, place) for place in axes.get_ylim()]]


def _draw_frontiers(axes: Axes, points: pd.DataFrame, settings: TradeOffSettings) -> list[Line]:
    """Draw lines through the mean points of runs, by clean accuracy; return them."""
    lines: list[Line] = []
    for place, (label, runs) in enumerate(settings.frontiers.items()):
        chosen = 100 * points[points["run"].isin(runs)].set_index("run")[["clean_accuracy", "robust_accuracy"]]
        means = chosen.groupby("run").mean().sort_values("clean_accuracy").to_numpy()
        turn, dashes = divmod(place, len(DASHES))
        shade = _FRONTIER_SHADES[turn % len(_FRONTIER_SHADES)]
        axes.plot(*means.T, color=shade, ls=DASHES[dashes], linewidth=0.9, zorder=2, label=f"frontier: {label}")
        lines.append([(float(clean), float(robust)) for clean, robust in means])
    return lines


def _draw_run(axes: Axes, run: str, points: pd.DataFrame, style: PointStyle, is_baseline: bool) -> LabelledPoint:
    clean = summarise((100 * points["clean_accuracy"]).tolist())
    robust = summarise((100 * points["robust_accuracy"]).tolist())
    errors = [0.0 if math.isnan(each.standard_deviation) else each.standard_deviation for each in (clean, robust)]
    size = _STAR_SIZE if style.marker == "*" else _MARKER_SIZE
    axes.plot(
        *_dots(points).T,
        style.marker,
        color=style.colour,
        alpha=_SEED_ALPHA,
        markersize=_SEED_SHARE * size,
        markeredgewidth=0,
        zorder=2,
    )
    axes.errorbar(
        clean.mean,
        robust.mean,
        xerr=errors[0],
        yerr=errors[1],
        fmt=style.marker,
        color=style.colour,
        markersize=size,
        markeredgecolor="white",
        markeredgewidth=0.4,
        elinewidth=0.8,
        zorder=4,
    )
    text = f"{run} (baseline)" if is_baseline else run
    return LabelledPoint(text, style.colour, clean.mean, robust.mean, errors[0], errors[1])


def _draw_beyond(axes: Axes, run: str, points: pd.DataFrame, style: PointStyle) -> LabelledPoint:
    """Draw a run beyond the axes at their edge, with an arrow that points where it is."""
    mean = _dots(points).mean(0)
    low, high = (np.array(ends) for ends in zip(axes.get_xlim(), axes.get_ylim(), strict=True))
    edge = np.clip(mean, low + _EDGE * (high - low), high - _EDGE * (high - low))
    across, up = map(float, edge)
    axes.plot(across, up, style.marker, color=style.colour, markersize=_MARKER_SIZE, zorder=4)
    axes.annotate(
        "",
        tuple(np.clip((mean - low) / (high - low), 0, 1)),
        (across, up),
        "axes fraction",
        "data",
        arrowprops={"arrowstyle": "->", "color": style.colour, "linewidth": 0.9, "shrinkA": 3, "shrinkB": 0},
    )
    return LabelledPoint(f"{run} at {mean[0]:.1f}, {mean[1]:.1f}", style.colour, across, up)


def trade_off_table(points: pd.DataFrame, settings: TradeOffSettings) -> pd.DataFrame:
    """Return the plotted numbers: a row per run and seed, beside it the run's mean and sd over seeds.

    For each frontier `above_<label>` is how far the row lies above it (a share; nan where it cannot be compared).
    """
    table = points.copy()
    for name in ("clean_accuracy", "robust_accuracy"):
        groups = points.groupby("run", sort=False)[name]
        table[f"{name}_mean"] = groups.transform("mean")
        table[f"{name}_sd"] = groups.transform("std")
    for label, runs in settings.frontiers.items():
        table[f"above_{label}"] = distances_by_seed(points, runs)
    return table


def trade_off_caption(points: pd.DataFrame, outcomes: Outcomes, settings: TradeOffSettings) -> str:
    """Return what the figure shows, over how many seeds and test images."""
    num_seeds = points.groupby("run")["seed"].nunique()
    lines = [
        f"Clean accuracy against robust accuracy under the attack `{settings.attack}`. "
        "Up and to the right is better at both.",
        "Large markers are means over seeds, error bars one standard deviation over seeds (n - 1; none for a "
        "single seed), small ones single seeds.",
        f"Dashed lines go through the baseline `{settings.baseline}`.",
        f"Seeds per run: {spread(num_seeds)}. Test images: {spread(points['num_samples'])}.",
    ]
    if outside := runs_beyond(points, settings.baseline):
        lines.append(f"An arrow points to what lies far off all others: {', '.join(f'`{run}`' for run in outside)}.")
    if settings.frontiers:
        distances = frontier_distances(points, outcomes, settings.frontiers, settings.attack)
        lines.append(frontier_section(distances, outcomes.test_to_train))
    if num_seeds.min() < MIN_SEEDS_FOR_CLAIM:
        lines.append(FEW_SEEDS_WARNING)
    return "\n\n".join(lines)


def make(
    settings: TradeOffSettings,
    *,
    study: str,
    files: Sequence[RunFiles],
    styles: RunStyles,
    test_to_train: float | None,
) -> ReportParts:
    """Make the figure from the files of each run and seed."""
    return trade_off_parts(read_runs(study, files, test_to_train), settings, styles)


def trade_off_parts(measured: Measured, settings: TradeOffSettings, styles: RunStyles) -> ReportParts:
    """Return the figure, its numbers, and its caption with further warnings."""
    results, outcomes, warnings = measured
    points = trade_off_points(results, settings)
    return ReportParts(
        trade_off_table(points, settings),
        draw_trade_off(points, settings, styles),
        "Clean accuracy against robust accuracy",
        "\n\n".join([trade_off_caption(points, outcomes, settings), *warnings]),
    )
