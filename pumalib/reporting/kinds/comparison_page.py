"""The Markdown page of a comparison: a table in percentage points and the caption that it needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pumalib.reporting.files import markdown_table
from pumalib.reporting.results import CLEAN_ACCURACY, Metric
from pumalib.reporting.settings.comparison import ComparisonSettings
from pumalib.reporting.statistics import (
    FEW_SEEDS_WARNING,
    MIN_SEEDS_FOR_CLAIM,
    NON_INFERIORITY_MARGIN,
    PairedDifference,
    spread,
    verdict,
)

PUBLISHED = ("clean_accuracy", "robust_accuracy")
"""Numbers that may have been published for a run."""

Row = dict[str, Any]
"""One row of the comparison table, by column."""


def comparison_page(
    table: pd.DataFrame,
    metrics: Sequence[Metric],
    settings: ComparisonSettings,
    num_comparisons: int,
    confidence: float,
) -> str:
    """Return table and caption.

    Args:
        table: Of `comparison_table`.
        metrics: Its metrics.
        settings: Its settings.
        num_comparisons: Number of intervals that hold together.
        confidence: Joint confidence of its intervals.
    """
    rows: list[Row] = [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]
    header = ["run", "pruned (%)", "rows kept", "mean epsilon"]
    for metric in metrics:
        header += [f"{metric.title} (%)", f"vs `{settings.baseline}`"]
        header += [f"vs `{settings.control}`"] if settings.control else []
    header += [f"non-inferior, {metric.attack}" for metric in metrics if metric != CLEAN_ACCURACY]
    header += [f"published (PUMA): {name.replace('_', ' ')} (%)" for name in PUBLISHED if settings.published]
    cells = [_cells(row, metrics, settings) for row in rows]
    intervals = _interval_sentence(num_comparisons, confidence)
    return f"{markdown_table(header, cells)}\n\n{_caption(table, metrics, settings, intervals)}"


def _cells(row: Row, metrics: Sequence[Metric], settings: ComparisonSettings) -> list[str]:
    cells = [
        f"`{row['run']}`",
        f"{100 * row['pruned_fraction']:.1f}",
        f"{row['num_kept']:.0f}",
        "-" if math.isnan(row["mean_epsilon"]) else f"{row['mean_epsilon']:.4g}",
    ]
    for metric in metrics:
        cells.append(_mean_cell(row, metric))
        cells.append(_difference_cell(difference_of(row, metric, "baseline")))
        if settings.control:
            cells.append(_difference_cell(difference_of(row, metric, "control")))
    is_baseline = row["run"] == settings.baseline
    verdicts = [verdict(difference_of(row, metric, "baseline")) for metric in metrics if metric != CLEAN_ACCURACY]
    cells += ["-"] * len(verdicts) if is_baseline else verdicts
    return cells + [_published_cell(row[f"published_{name}"]) for name in PUBLISHED if settings.published]


def _published_cell(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f}"


def difference_of(row: Row, metric: Metric, reference: str) -> PairedDifference:
    """Read the difference to "baseline" or "control" off a row of the table."""
    prefix = f"{metric.column}_minus_{reference}"
    num_seeds = row[f"{metric.column}_num_seeds"]
    return PairedDifference(row[prefix], row[f"{prefix}_low"], row[f"{prefix}_high"], num_seeds)


def _mean_cell(row: Row, metric: Metric) -> str:
    mean, deviation = 100 * row[f"{metric.column}_mean"], 100 * row[f"{metric.column}_sd"]
    return f"{mean:.2f} (one seed)" if math.isnan(deviation) else f"{mean:.2f} ± {deviation:.2f}"


def _difference_cell(difference: PairedDifference) -> str:
    if math.isnan(difference.mean):
        return "-"
    if math.isnan(difference.low):
        return f"{100 * difference.mean:+z.2f} [no interval: one seed]"
    return f"{100 * difference.mean:+z.2f} [{100 * difference.low:z.2f}, {100 * difference.high:z.2f}]"


def _caption(table: pd.DataFrame, metrics: Sequence[Metric], settings: ComparisonSettings, intervals: str) -> str:
    num_seeds = pd.concat([table[f"{metric.column}_num_seeds"] for metric in metrics])
    lines = [
        "Accuracies in per cent of the test images, mean ± one standard deviation over seeds (n - 1).",
        intervals,
        f"Seeds: {spread(num_seeds)}. Test images: {_test_images(table, metrics)}. "
        "Pruned fraction, rows kept and mean epsilon (signed, over rows as drawn, pixel scale) are means "
        "over seeds.",
        f"Baseline: `{settings.baseline}`. {_control_sentence(settings.control)}",
    ]
    if table["mean_epsilon"].isna().any():
        lines.append(
            "Mean epsilon `-`: the run finds its epsilons during training; `history.csv` of each model has them, and "
            "the number of rows dropped from its batches, which `pruned` does not count."
        )
    if any(metric != CLEAN_ACCURACY for metric in metrics):
        lines.append(
            f"Non-inferior: robust accuracy is not {100 * NON_INFERIORITY_MARGIN:g} points or more below the "
            "baseline's. `yes`: the interval lies above that loss; `no`: wholly below it; `cannot be told`: the "
            f"interval holds it, or there are fewer than {MIN_SEEDS_FOR_CLAIM} seeds."
        )
    if settings.published:
        lines.append(
            "Published (PUMA): as printed there, copied into the study. They were measured with other images, models, "
            "attacks and seeds than those here; no number of this page is computed from them."
        )
    if num_seeds.min() < MIN_SEEDS_FOR_CLAIM:
        lines.append(FEW_SEEDS_WARNING)
    return "\n\n".join(lines)


def _interval_sentence(num_comparisons: int, confidence: float) -> str:
    if num_comparisons == 0:
        return "There is nothing to compare, hence no interval."
    return (
        "Differences in percentage points, paired by seed, with Student t intervals at a joint "
        f"{100 * confidence:g} % level: Bonferroni over {num_comparisons} comparisons, so each interval "
        f"stands at {100 * (1 - (1 - confidence) / num_comparisons):.4g} %."
    )


def _test_images(table: pd.DataFrame, metrics: Sequence[Metric]) -> str:
    sizes = {metric.title: spread(table[f"{metric.column}_num_samples"]) for metric in metrics}
    if len(set(sizes.values())) == 1:
        return next(iter(sizes.values()))
    return ", ".join(f"{size} for {title}" for title, size in sizes.items())


def _control_sentence(control: str | None) -> str:
    if control is None:
        return "There is no control: a gain in clean accuracy may come from a lower average epsilon alone."
    return (
        f"Control: `{control}`, meant to have the same cut with a constant epsilon (or the same epsilons "
        "shuffled), so that a gain over it comes from which row gets which epsilon."
    )
