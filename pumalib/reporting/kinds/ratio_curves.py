"""The figure of clean and robust accuracy against the pruned fraction, one line per group of runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pumalib.reporting.axis_limits import Limits, limits_of
from pumalib.reporting.colours import BASELINE_DASHES, Dashes, LineStyle, RunStyles, group_line_styles
from pumalib.reporting.figures import (
    COLUMN_WIDTH_INCHES,
    figure_style,
    legend_columns,
    new_stack,
)
from pumalib.reporting.files import markdown_table
from pumalib.reporting.outcomes import Measured, Outcomes, read_runs
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.results import (
    CLEAN_ACCURACY,
    Metric,
    check_results,
    chosen_attacks,
    chosen_runs,
    refuse_unequal_test_sets,
    robust_accuracy,
    rows_of,
    values_by_seed,
)
from pumalib.reporting.settings.ratio_curves import RatioCurvesSettings
from pumalib.reporting.statistics import FEW_SEEDS_WARNING, MIN_SEEDS_FOR_CLAIM, spread, summarise
from pumalib.results.collect import RunFiles

_NAMES = ("clean_accuracy", "robust_accuracy")
_DASH = 4
"""Length of a baseline's dash, in widths of its line."""
_SHARED_BASELINE = "#404040"
_SHARED_DASHES: tuple[Dashes, ...] = (BASELINE_DASHES, ":", (0, (6, 1.5, 1, 1.5)))


class _Baseline(NamedTuple):
    """How a baseline is drawn: its colour, its dashes in the figure, and in the legend, which has room for few."""

    colour: str
    dashes: Dashes
    key: Dashes


def ratio_table(results: pd.DataFrame, outcomes: Outcomes, settings: RatioCurvesSettings) -> pd.DataFrame:
    """Return a row per label and run, each line by its pruned fraction, its baseline last.

    Columns: label, run, is_baseline, pruned_fraction (mean over seeds), then `_mean`, `_low`, `_high` (95 %
    interval, each alone; nan below three seeds) and `_sd` (n - 1; nan for one seed) of clean_accuracy and
    robust_accuracy, num_seeds, num_samples (images behind robust accuracy, the fewest).

    Raises:
        DataError: If a run or the attack is missing, or runs had different test sets.
    """
    check_results(results)
    chosen_attacks(results, [settings.attack])
    named = list(_named_runs(settings))
    chosen_runs(results, [run for _, run, _ in named])
    refuse_unequal_test_sets(results, [run for _, run, _ in named])
    table = pd.DataFrame(
        [
            {
                "label": label,
                "run": run,
                "is_baseline": is_baseline,
                **_numbers(results, outcomes, run, settings.attack),
            }
            for label, run, is_baseline in named
        ]
    )
    table["label"] = pd.Categorical(table["label"], list(settings.lines))
    ordered = table.sort_values(["label", "is_baseline", "pruned_fraction"], kind="stable", ignore_index=True)
    return ordered.astype({"label": str})


def _named_runs(settings: RatioCurvesSettings) -> Iterator[tuple[str, str, bool]]:
    for label, runs in settings.lines.items():
        yield from ((label, run, False) for run in runs)
        if label in settings.baselines:
            yield label, settings.baselines[label], True


def _numbers(results: pd.DataFrame, outcomes: Outcomes, run: str, attack: str) -> dict[str, float | int]:
    rows = rows_of(results, run, robust_accuracy(attack))
    numbers: dict[str, float | int] = {"pruned_fraction": summarise(rows["pruned_fraction"].tolist()).mean}
    for name, metric in zip(_NAMES, (CLEAN_ACCURACY, robust_accuracy(attack)), strict=True):
        numbers |= _summary_columns(results, outcomes, run, name, metric)
    return {**numbers, "num_seeds": len(rows), "num_samples": int(rows["num_samples"].min())}


def _summary_columns(
    results: pd.DataFrame, outcomes: Outcomes, run: str, name: str, metric: Metric
) -> dict[str, float | int]:
    summary = summarise(list(values_by_seed(results, run, metric).values()))
    low, high = outcomes.mean(run, metric).interval()
    ends = {f"{name}_low": low, f"{name}_high": high}
    return {f"{name}_mean": summary.mean, **ends, f"{name}_sd": summary.standard_deviation}


def draw_ratio_curves(table: pd.DataFrame, settings: RatioCurvesSettings, styles: RunStyles) -> Figure:
    """Draw `ratio_table` in per cent: clean accuracy above robust accuracy, baselines as horizontal lines."""
    lines = group_line_styles(settings.lines, styles)
    baselines = _baseline_styles(settings, lines)
    titles = ("clean accuracy (%)", f"robust accuracy, {settings.attack} (%)")
    with figure_style():
        figure, panels = new_stack(COLUMN_WIDTH_INCHES, 3.9)
        for axes, name, title in zip(panels, _NAMES, titles, strict=True):
            for label, rows in table[~table["is_baseline"]].groupby("label", sort=False):
                _draw_group(axes, str(label), rows, name, lines[str(label)])
            for run, rows in table[table["is_baseline"]].groupby("run", sort=False):
                style = baselines[str(run)]
                mean = 100 * float(rows[f"{name}_mean"].iloc[0])
                axes.axhline(mean, color=style.colour, linestyle=style.dashes, linewidth=0.9, zorder=1)
            axes.set_ylabel(title)
            axes.margins(x=0.04)
            axes.set_ylim(*_limits(table, name))
            axes.grid(True)
        panels[-1].set_xlabel("pruned fraction (%)")
        handles, labels = panels[0].get_legend_handles_labels()
        for run, style in baselines.items():
            looks: dict[str, Any] = {"color": style.colour, "linestyle": style.key, "linewidth": 0.9}
            handles.append(Line2D([], [], **looks))
            labels.append(f"baseline: {run}")
        figure.legend(handles, labels, loc="outside upper center", ncols=legend_columns(labels, COLUMN_WIDTH_INCHES, 4))
    return figure


def _limits(table: pd.DataFrame, name: str) -> Limits:
    """Return the limits of an accuracy in per cent: all points with their bars, and baselines clear of the edge."""
    bars = table[f"{name}_sd"].where(~table["is_baseline"], 0).fillna(0)
    mean = table[f"{name}_mean"]
    return limits_of(100 * np.concatenate([mean - bars, mean + bars]), margin=0.06)


def _baseline_styles(settings: RatioCurvesSettings, lines: Mapping[str, LineStyle]) -> dict[str, _Baseline]:
    """Return how each baseline is drawn: in the colour of its line, or where it is that of several, in grey.

    The dashes of one stand in the gaps of the others, so that baselines at one height are all seen. Grey ones differ in
    their dashes.
    """
    labels: dict[str, list[str]] = {}
    for label, run in settings.baselines.items():
        labels.setdefault(run, []).append(label)
    shared = dict(zip((run for run, of in labels.items() if len(of) > 1), cycle(_SHARED_DASHES), strict=False))
    gap = max(2, _DASH * (len(labels) - 1))
    return {
        run: _Baseline(_SHARED_BASELINE, shared[run], shared[run])
        if run in shared
        else _Baseline(lines[of[0]].colour, (_DASH * place, (_DASH, gap)), BASELINE_DASHES)
        for place, (run, of) in enumerate(labels.items())
    }


def _draw_group(axes: Axes, label: str, line: pd.DataFrame, name: str, style: LineStyle) -> None:
    axes.errorbar(
        100 * line["pruned_fraction"],
        100 * line[f"{name}_mean"],
        yerr=100 * line[f"{name}_sd"].fillna(0),
        color=style.colour,
        linestyle=style.dashes,
        marker=style.marker,
        markersize=4.5,
        markeredgecolor="white",
        markeredgewidth=0.4,
        linewidth=1.1,
        elinewidth=0.8,
        capsize=1.5,
        label=label,
    )


def ratio_page(table: pd.DataFrame, settings: RatioCurvesSettings, warnings: Sequence[str] = ()) -> str:
    """Return the numbers as a table, what the figure shows, over how many seeds and images, and the warnings."""
    header = ["line", "run", "pruned (%)", "clean accuracy (%)", f"robust accuracy, {settings.attack} (%)"]
    cells = [
        [
            row["label"] + (", baseline" if row["is_baseline"] else ""),
            f"`{row['run']}`",
            "-" if pd.isna(row["pruned_fraction"]) else f"{100 * row['pruned_fraction']:.1f}",
            *(_cell(row[f"{name}_mean"], row[f"{name}_sd"]) for name in _NAMES),
        ]
        for row in table.to_dict("records")
    ]
    of_baselines = (
        " Broken lines: baselines, in the colour of their line, or grey for those of several lines."
        if settings.baselines
        else ""
    )
    lines = [
        markdown_table(header, cells),
        f"Clean accuracy, and robust accuracy under the attack `{settings.attack}`, against the share of the pool's "
        f"rows that are pruned.{of_baselines}",
        "Points are means over seeds; error bars, and ± in the table, one standard deviation over seeds (n - 1; none "
        f"for a single seed). Seeds per run: {spread(table['num_seeds'])}. "
        f"Test images: {spread(table['num_samples'])}. The CSV has a 95 % interval of each mean, each alone. Lines "
        "that lie near each other are not thereby the same: a report of kind `comparison` tests differences.",
    ]
    few = [FEW_SEEDS_WARNING] if table["num_seeds"].min() < MIN_SEEDS_FOR_CLAIM else []
    return "\n\n".join([*lines, *few, *warnings])


def _cell(mean: float, deviation: float) -> str:
    return f"{100 * mean:.2f}" if pd.isna(deviation) else f"{100 * mean:.2f} ± {100 * deviation:.2f}"


def make(
    settings: RatioCurvesSettings,
    *,
    study: str,
    files: Sequence[RunFiles],
    styles: RunStyles,
    test_to_train: float | None,
) -> ReportParts:
    """Make the curves from the files of each run and seed."""
    return ratio_parts(read_runs(study, files, test_to_train), settings, styles)


def ratio_parts(measured: Measured, settings: RatioCurvesSettings, styles: RunStyles) -> ReportParts:
    """Return the figure, its numbers and its page."""
    table = ratio_table(measured.results, measured.outcomes, settings)
    figure = draw_ratio_curves(table, settings, styles)
    page = ratio_page(table, settings, measured.warnings)
    return ReportParts(table, figure, "Accuracy against the pruned fraction", page)
