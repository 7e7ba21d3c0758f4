"""The table of a comparison: means over seeds, and differences paired by seed with honest intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pumalib.errors import DataError
from pumalib.reporting.colours import RunStyles
from pumalib.reporting.figures import PAGE_WIDTH_INCHES, figure_style, new_figure
from pumalib.reporting.kinds.comparison_page import PUBLISHED, comparison_page
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.results import (
    CLEAN_ACCURACY,
    Metric,
    check_results,
    chosen_attacks,
    chosen_runs,
    read_runs,
    refuse_unequal_test_sets,
    robust_accuracy,
    rows_of,
    values_by_seed,
)
from pumalib.reporting.settings.comparison import ComparisonSettings, PublishedNumbers
from pumalib.reporting.statistics import NON_INFERIORITY_MARGIN, PairedDifference, paired_difference, summarise
from pumalib.results.collect import RunFiles

CONFIDENCE = 0.95
"""Joint confidence of all intervals of one table."""

FIGURE_NOTE = f"Dashed line: the loss of {100 * NON_INFERIORITY_MARGIN:g} points that non-inferiority rules out."
"""What the figure cannot say by itself."""


def comparison_metrics(results: pd.DataFrame, settings: ComparisonSettings) -> list[Metric]:
    """Return the metrics of the table: clean accuracy, then robust accuracy under each attack."""
    return [CLEAN_ACCURACY, *map(robust_accuracy, chosen_attacks(results, settings.attacks))]


def num_comparisons(runs: Sequence[str], settings: ComparisonSettings, num_metrics: int) -> int:
    """Count the intervals of a table: the distinct pairs of a run and a reference, times the metrics."""
    references = _references(settings).values()
    pairs = {frozenset((run, reference)) for run in runs for reference in references if run != reference}
    return len(pairs) * num_metrics


def _references(settings: ComparisonSettings) -> dict[str, str]:
    control = {} if settings.control is None else {"control": settings.control}
    return {"baseline": settings.baseline, **control}


def comparison_table(results: pd.DataFrame, settings: ComparisonSettings) -> pd.DataFrame:
    """Return one row per run, in the order of the settings or, without `runs`, of the file.

    Columns: run, pruned_fraction, num_kept, mean_epsilon (means over seeds; the last is nan for a run that finds its
    epsilons during training); then for each metric, with the prefix `clean_accuracy` or `robust_accuracy_<attack>`:
    `_mean`, `_sd`, `_minus_baseline`, `_minus_baseline_low`, `_minus_baseline_high`, the same three for
    `_minus_control` if there is a control, `_num_seeds`, `_num_samples` (test images per seed; the smallest number if
    seeds differ); last, if the settings hold published numbers, `published_clean_accuracy` and
    `published_robust_accuracy`. Accuracies are shares in [0, 1]. A run's difference to itself is nan. Intervals are
    corrected for the number of distinct intervals in the table (a choice of ours).

    Args:
        results: Tidy results of one study.
        settings: Runs, references and attacks.

    Raises:
        DataError: If a run, an attack or a seed is missing, or compared runs had different test sets.
    """
    check_results(results)
    runs = chosen_runs(results, settings.runs, settings.baseline, settings.control)
    references = _references(settings)
    refuse_unequal_test_sets(results, [*runs, *references.values()])
    metrics = comparison_metrics(results, settings)
    count = max(1, num_comparisons(runs, settings, len(metrics)))
    table = pd.DataFrame([_table_row(results, run, references, metrics, count) for run in runs])
    return pd.concat([table, published_columns(runs, settings)], axis=1)


def published_columns(runs: Sequence[str], settings: ComparisonSettings) -> pd.DataFrame:
    """Return the published numbers as shares, a row per run, nan where there are none; no column without any."""
    if not settings.published:
        return pd.DataFrame(index=range(len(runs)))
    numbers = [settings.published.get(run, PublishedNumbers()) for run in runs]
    return pd.DataFrame(
        {
            f"published_{name}": [
                math.nan if (value := getattr(each, name)) is None else value / 100 for each in numbers
            ]
            for name in PUBLISHED
        }
    )


def _table_row(
    results: pd.DataFrame, run: str, references: dict[str, str], metrics: Sequence[Metric], count: int
) -> dict[str, str | float | int]:
    row: dict[str, str | float | int] = {"run": run}
    per_seed = results[results["run"] == run].drop_duplicates("seed")
    for column in ("pruned_fraction", "num_kept", "mean_epsilon"):
        row[column] = mean(per_seed[column].astype(float).tolist())
    for metric in metrics:
        row.update(_metric_columns(results, run, references, metric, count))
    return row


def _metric_columns(
    results: pd.DataFrame, run: str, references: dict[str, str], metric: Metric, count: int
) -> dict[str, float | int]:
    values = values_by_seed(results, run, metric)
    summary = summarise(list(values.values()))
    columns: dict[str, float | int] = {
        f"{metric.column}_mean": summary.mean,
        f"{metric.column}_sd": summary.standard_deviation,
    }
    for word, reference in references.items():
        prefix = f"{metric.column}_minus_{word}"
        difference = _difference(results, run, reference, metric, count)
        columns |= {
            prefix: difference.mean,
            f"{prefix}_low": difference.low,
            f"{prefix}_high": difference.high,
        }
    columns[f"{metric.column}_num_seeds"] = summary.num_seeds
    columns[f"{metric.column}_num_samples"] = int(rows_of(results, run, metric)["num_samples"].min())
    return columns


def _difference(results: pd.DataFrame, run: str, reference: str, metric: Metric, count: int) -> PairedDifference:
    nan = float("nan")
    if run == reference:
        return PairedDifference(nan, nan, nan, 0)
    values, others = (values_by_seed(results, name, metric) for name in (run, reference))
    try:
        return paired_difference(values, others, count, CONFIDENCE)
    except DataError as error:
        raise DataError(f'run "{run}" against "{reference}", {metric.title}: {error}') from error


def draw_differences(table: pd.DataFrame, metrics: Sequence[Metric], baseline: str, styles: RunStyles) -> Figure:
    """Draw one line per run other than the baseline, in percentage points; the first run on top.

    Args:
        table: Of `comparison_table`.
        metrics: Its metrics, one panel each.
        baseline: Its baseline, drawn as the line at 0.
        styles: Of the runs.
    """
    rows = table[table["run"] != baseline]
    with figure_style():
        figure, panels = new_figure(PAGE_WIDTH_INCHES, 0.9 + 0.24 * max(len(rows), 1), len(metrics))
        for axes, metric in zip(panels, metrics, strict=True):
            _draw_panel(axes, rows, metric, baseline, styles)
        panels[0].set_yticks(range(len(rows)), rows["run"].tolist())
        panels[0].set_ylim(len(rows) - 0.4, -0.6)
    return figure


def _draw_panel(axes: Axes, rows: pd.DataFrame, metric: Metric, baseline: str, styles: RunStyles) -> None:
    axes.axvline(0, color="#808080", linewidth=0.8, zorder=1)
    if metric != CLEAN_ACCURACY:
        limit = -100 * NON_INFERIORITY_MARGIN
        axes.axvline(limit, color="#b0b0b0", linestyle=(0, (4, 3)), linewidth=0.7, zorder=1)
    prefix = f"{metric.column}_minus_baseline"
    columns = [prefix, f"{prefix}_low", f"{prefix}_high"]
    for height, (run, numbers) in enumerate(zip(rows["run"], 100 * rows[columns].to_numpy(), strict=True)):
        mean, low, high = numbers
        style = styles[run]
        axes.plot([low, high], [height, height], color=style.colour, linewidth=1.2, zorder=2)
        axes.plot([mean], [height], style.marker, color=style.colour, markersize=5, zorder=3)
    axes.set_title(metric.title)
    axes.set_xlabel(f"difference to {baseline} (points)")
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0)


def make(settings: ComparisonSettings, *, study: str, files: Sequence[RunFiles], styles: RunStyles) -> ReportParts:
    """Make the table and its figure from the files of each run and seed."""
    return comparison_parts(*read_runs(study, files), settings, styles)


def comparison_parts(
    results: pd.DataFrame, warnings: Sequence[str], settings: ComparisonSettings, styles: RunStyles
) -> ReportParts:
    """Return the table in full precision and to be read, and a figure of the intervals."""
    table = comparison_table(results, settings)
    metrics = comparison_metrics(results, settings)
    count = num_comparisons(table["run"].tolist(), settings, len(metrics))
    return ReportParts(
        table,
        draw_differences(table, metrics, settings.baseline, styles),
        f"Differences to {settings.baseline}",
        "\n\n".join([f"The same differences and intervals. {FIGURE_NOTE}", *warnings]),
        text_above=comparison_page(table, metrics, settings, count, CONFIDENCE),
    )
