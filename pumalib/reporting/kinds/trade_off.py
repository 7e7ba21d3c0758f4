"""The figure of clean accuracy against robust accuracy: up and to the right is better at both."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pumalib.errors import DataError
from pumalib.reporting.colours import DASHES, PointStyle, RunStyles
from pumalib.reporting.figures import (
    COLUMN_WIDTH_INCHES,
    figure_style,
    legend_columns,
    new_figure,
)
from pumalib.reporting.kinds.trade_off_frontiers import distances_by_seed, frontier_distances, frontier_section
from pumalib.reporting.labels import LabelledPoint, place_labels
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

_AXIS_MARGIN = 0.12
_NUM_LINE_POINTS = 100
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
    """Draw the points of `trade_off_points` in per cent: a marker per run, a faint dot per seed."""
    with figure_style():
        figure, (axes,) = new_figure(COLUMN_WIDTH_INCHES, 3.2)
        runs = list(dict.fromkeys(points["run"]))
        baseline_place = runs.index(settings.baseline)
        lines = _draw_frontiers(axes, points, settings)
        if lines:
            names = [f"frontier: {label}" for label in settings.frontiers]
            ncols = legend_columns(names, COLUMN_WIDTH_INCHES, 3)
            figure.legend(loc="outside upper left", ncols=ncols, handlelength=2.6)
        labels = [
            _draw_run(axes, run, points[points["run"] == run], styles[run], run == settings.baseline) for run in runs
        ]
        axes.set_xlabel("clean accuracy (%)")
        axes.set_ylabel(f"robust accuracy, {settings.attack} (%)")
        axes.margins(_AXIS_MARGIN)
        axes.grid(True)
        obstacles = [*_dots(points), *_baseline_cross(axes, labels[baseline_place])]
        place_labels(figure, axes, labels, [*obstacles, *lines])
    return figure


def _dots(points: pd.DataFrame) -> list[tuple[float, float]]:
    accuracies = 100 * points[["clean_accuracy", "robust_accuracy"]].to_numpy()
    return [(float(clean), float(robust)) for clean, robust in accuracies]


def _baseline_cross(axes: Axes, baseline: LabelledPoint) -> list[tuple[float, float]]:
    """Return close points along the two lines through the baseline."""
    across = [(float(x), baseline.y) for x in np.linspace(*axes.get_xlim(), _NUM_LINE_POINTS)]
    return across + [(baseline.x, float(y)) for y in np.linspace(*axes.get_ylim(), _NUM_LINE_POINTS)]


def _draw_frontiers(axes: Axes, points: pd.DataFrame, settings: TradeOffSettings) -> list[tuple[float, float]]:
    """Draw lines through the mean points of runs, by clean accuracy; return close points along them."""
    near = []
    for place, (label, runs) in enumerate(settings.frontiers.items()):
        chosen = 100 * points[points["run"].isin(runs)].set_index("run")[["clean_accuracy", "robust_accuracy"]]
        means = chosen.groupby("run").mean().sort_values("clean_accuracy")
        clean, robust = means["clean_accuracy"].to_numpy(), means["robust_accuracy"].to_numpy()
        turn, dashes = divmod(place, len(DASHES))
        shade = _FRONTIER_SHADES[turn % len(_FRONTIER_SHADES)]
        axes.plot(clean, robust, color=shade, ls=DASHES[dashes], linewidth=0.9, zorder=2, label=f"frontier: {label}")
        along, corners = np.linspace(0, len(means) - 1, _NUM_LINE_POINTS), np.arange(len(means))
        near += list(zip(np.interp(along, corners, clean), np.interp(along, corners, robust), strict=True))
    return near


def _draw_run(axes: Axes, run: str, points: pd.DataFrame, style: PointStyle, is_baseline: bool) -> LabelledPoint:
    clean = summarise((100 * points["clean_accuracy"]).tolist())
    robust = summarise((100 * points["robust_accuracy"]).tolist())
    errors = [0.0 if math.isnan(each.standard_deviation) else each.standard_deviation for each in (clean, robust)]
    if is_baseline:
        axes.axvline(clean.mean, color="#b0b0b0", linestyle=(0, (4, 3)), linewidth=0.7, zorder=1)
        axes.axhline(robust.mean, color="#b0b0b0", linestyle=(0, (4, 3)), linewidth=0.7, zorder=1)
    seeds_x, seeds_y = 100 * points["clean_accuracy"], 100 * points["robust_accuracy"]
    axes.plot(seeds_x, seeds_y, ".", color=style.colour, alpha=0.35, markersize=4, markeredgewidth=0, zorder=2)
    axes.errorbar(
        clean.mean,
        robust.mean,
        xerr=errors[0],
        yerr=errors[1],
        fmt=style.marker,
        color=style.colour,
        markersize=8 if style.marker == "*" else 5.5,
        markeredgecolor="white",
        markeredgewidth=0.4,
        elinewidth=0.8,
        zorder=4,
    )
    text = f"{run} (baseline)" if is_baseline else run
    return LabelledPoint(text, style.colour, clean.mean, robust.mean, errors[0], errors[1])


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
        "single seed), small dots single seeds.",
        f"Dashed lines go through the baseline `{settings.baseline}`.",
        f"Seeds per run: {spread(num_seeds)}. Test images: {spread(points['num_samples'])}.",
    ]
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
