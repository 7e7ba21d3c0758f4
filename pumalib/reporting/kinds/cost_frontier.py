"""Robust accuracy against what trainings cost: up and to the left is better at both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pumalib.reporting.colours import DASHES, RunStyles
from pumalib.reporting.costs import WHOLE, cost_table
from pumalib.reporting.estimates import Estimate
from pumalib.reporting.families import LEFT_OUT, Compared, compare_family
from pumalib.reporting.figures import PAGE_WIDTH_INCHES, figure_style, legend_columns, new_figure
from pumalib.reporting.files import markdown_table
from pumalib.reporting.labels import LabelledPoint, Line, place_labels
from pumalib.reporting.outcomes import Measured, read_runs
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.results import CLEAN_ACCURACY, chosen_attacks, chosen_runs, robust_accuracy, rows_of
from pumalib.reporting.settings.cost import TRAINING, CostPart
from pumalib.reporting.settings.cost_frontier import CostFrontierSettings
from pumalib.reporting.statistics import FEW_SEEDS_WARNING, MIN_SEEDS_FOR_CLAIM, spread
from pumalib.reporting.words import design_sentence
from pumalib.results.collect import RunFiles

_FRONTIER_COLOUR = "#606060"
_AXIS_MARGIN = 0.12


def cost_frontier_table(measured: Measured, costs: pd.DataFrame, settings: CostFrontierSettings) -> pd.DataFrame:
    """Return a row per run: the baseline, then the others in the order of the settings or of the file.

    Columns: run; training_passes and whole_passes (images through networks, forward and backward; the whole has margin
    models, scores and learned pools); of_baseline and whole_of_baseline (both over the baseline's training);
    clean_accuracy; robust_accuracy, _low, _high (95 % interval, each alone); minus_baseline, _low, _high (95 %,
    joint); num_seeds, num_samples. Accuracies are shares in [0, 1].

    Raises:
        DataError: If a run or the attack is missing.
    """
    runs = list(dict.fromkeys([settings.baseline, *chosen_runs(measured.results, None, settings.baseline)]))
    (attack,) = chosen_attacks(measured.results, [settings.attack])
    metric = robust_accuracy(attack)
    family = compare_family(
        {run: measured.outcomes.difference(run, settings.baseline, metric) for run in runs if run != settings.baseline}
    )
    passes = {part: costs[costs["part"] == part].set_index("run") for part in (TRAINING, WHOLE)}
    totals = {part: table["forward_passes"] + table["backward_passes"] for part, table in passes.items()}
    of_baseline = {part: totals[part] / totals[TRAINING][settings.baseline] for part in totals}
    return pd.DataFrame(
        {
            "run": run,
            "training_passes": totals[TRAINING][run],
            "whole_passes": totals[WHOLE][run],
            "of_baseline": of_baseline[TRAINING][run],
            "whole_of_baseline": of_baseline[WHOLE][run],
            "clean_accuracy": measured.outcomes.mean(run, CLEAN_ACCURACY).value,
            **_accuracy_cells(measured.outcomes.mean(run, metric), family.get(run)),
            "num_seeds": rows_of(measured.results, run, metric)["seed"].nunique(),
            "num_samples": int(rows_of(measured.results, run, metric)["num_samples"].min()),
        }
        for run in runs
    )


def _accuracy_cells(robust: Estimate, compared: Compared | None) -> dict[str, float]:
    """Return robust accuracy and its difference to the baseline; the baseline's own difference is 0."""
    low, high = robust.interval()
    difference = (0.0, math.nan, math.nan) if compared is None else (compared.estimate.value, *compared.interval)
    names = ("", "_low", "_high")
    cells = {f"robust_accuracy{name}": value for name, value in zip(names, (robust.value, low, high), strict=True)}
    return cells | {f"minus_baseline{name}": value for name, value in zip(names, difference, strict=True)}


def draw_cost_frontier(table: pd.DataFrame, settings: CostFrontierSettings, styles: RunStyles) -> Figure:
    """Draw a marker per run at the passes of its training, and an open one at those of all that it stands on."""
    with figure_style():
        figure, (axes,) = new_figure(PAGE_WIDTH_INCHES, 3.6)
        lines = _draw_frontiers(axes, table, settings)
        if settings.frontiers:
            ncols = legend_columns(list(settings.frontiers), PAGE_WIDTH_INCHES, 4)
            figure.legend(loc="outside upper left", ncols=ncols, handlelength=2.6)
        points = [_draw_run(axes, row, styles) for _, row in table.iterrows()]
        axes.set_xlabel(f"passes of the training (% of {settings.baseline})")
        axes.set_ylabel(f"robust accuracy, {settings.attack} (%)")
        axes.set_xlim(left=0)
        axes.margins(_AXIS_MARGIN)
        axes.grid(True)
        own, whole, heights = (100 * table[name] for name in ("of_baseline", "whole_of_baseline", "robust_accuracy"))
        wholes = [[(x, y), (end, y)] for x, end, y in zip(own, whole, heights, strict=True) if end > x]
        place_labels(figure, axes, points, [end for _, end in wholes], [*lines, *wholes])
    return figure


def _draw_frontiers(axes: Axes, table: pd.DataFrame, settings: CostFrontierSettings) -> list[Line]:
    lines: list[Line] = []
    for place, (label, names) in enumerate(settings.frontiers.items()):
        line = table[table["run"].isin(names)].sort_values("of_baseline")
        ends = 100 * line[["of_baseline", "robust_accuracy"]].to_numpy()
        dashes = DASHES[place % len(DASHES)]
        axes.plot(*ends.T, color=_FRONTIER_COLOUR, ls=dashes, linewidth=0.9, zorder=2, label=label)
        lines.append([(float(across), float(up)) for across, up in ends])
    return lines


def _draw_run(axes: Axes, row: pd.Series[Any], styles: RunStyles) -> LabelledPoint:
    style = styles[row["run"]]
    own, whole, height = (100 * row[name] for name in ("of_baseline", "whole_of_baseline", "robust_accuracy"))
    low, high = (100 * row[f"robust_accuracy_{side}"] for side in ("low", "high"))
    if whole > own:
        axes.plot([own, whole], [height, height], color=style.colour, linewidth=0.7, alpha=0.6, zorder=2)
        axes.plot([whole], [height], "o", color=style.colour, markersize=3.5, markerfacecolor="white", zorder=3)
    axes.plot([own, own], [low, high], color=style.colour, linewidth=0.8, zorder=3)
    axes.plot([own], [height], style.marker, color=style.colour, markersize=5.5, zorder=4)
    half = 0.0 if math.isnan(low) else (high - low) / 2
    return LabelledPoint(str(row["run"]), style.colour, own, height, 0.0, half)


def cost_frontier_page(table: pd.DataFrame, settings: CostFrontierSettings, test_to_train: float | None) -> str:
    """Return the numbers as a table, and what they mean."""
    header = [
        "run",
        "passes of the training",
        f"% of `{settings.baseline}`",
        "with all it stands on, %",
        "clean (%)",
        f"robust, {settings.attack} (%)",
        f"minus `{settings.baseline}` (points)",
    ]
    lines = [
        f"Robust accuracy under the attack `{settings.attack}` against passes: images through a network, forward and "
        f"backward, over a whole training. 100 % is the training of `{settings.baseline}`.",
        "Filled markers stand at the training alone, open ones at all that it stands on: margin models, "
        "scores and learned pools. Lines through markers are 95 % intervals of a mean, each alone.",
        f"Differences are paired by seed and test image, with intervals at a joint {100 * (1 - LEFT_OUT):g} % level "
        f"(Bonferroni over {len(table) - 1} comparisons). Where such an interval holds 0 although Holm's test tells a "
        f"difference, the interval shown is that of the test's step. {design_sentence(test_to_train)} All of them are "
        "exploratory: the primary contrast of a study is what it claims.",
        f"Seeds per run: {spread(table['num_seeds'])}. Images: {spread(table['num_samples'])}.",
    ]
    if table["num_seeds"].min() < MIN_SEEDS_FOR_CLAIM:
        lines.append(FEW_SEEDS_WARNING)
    return "\n\n".join([markdown_table(header, [_cells(row) for _, row in table.iterrows()]), *lines])


def _cells(row: pd.Series[Any]) -> list[str]:
    """Return the cells of a run; `-` for a difference to itself, and where there are too few seeds for an interval."""
    whole = 100 * row["whole_of_baseline"]
    low, high = 100 * row["minus_baseline_low"], 100 * row["minus_baseline_high"]
    difference = f"{100 * row['minus_baseline']:+.2f}" + ("" if math.isnan(low) else f" [{low:.2f}, {high:.2f}]")
    return [
        f"`{row['run']}`",
        f"{row['training_passes']:,.0f}",
        f"{100 * row['of_baseline']:.0f}",
        "unknown" if math.isnan(whole) else f"{whole:.0f}",
        f"{100 * row['clean_accuracy']:.2f}",
        f"{100 * row['robust_accuracy']:.2f}",
        "-" if row["minus_baseline"] == 0 and math.isnan(low) else difference,
    ]


def make(
    settings: CostFrontierSettings,
    *,
    study: str,
    files: Sequence[RunFiles],
    styles: RunStyles,
    test_to_train: float | None,
    parts: Sequence[CostPart],
) -> ReportParts:
    """Make the figure from the results of its runs and all that they stand on."""
    measured = read_runs(study, files, test_to_train)
    table = cost_frontier_table(measured, cost_table(parts), settings)
    page = "\n\n".join([cost_frontier_page(table, settings, test_to_train), *measured.warnings])
    figure = draw_cost_frontier(table, settings, styles)
    return ReportParts(table, figure, "Robust accuracy against what trainings cost", page)
