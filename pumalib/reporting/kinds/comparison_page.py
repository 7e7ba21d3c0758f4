"""The Markdown page of a comparison: a table in percentage points and the caption that it needs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pumalib.reporting.families import LEFT_OUT, UNDECIDED, Compared, non_inferior
from pumalib.reporting.files import markdown_table
from pumalib.reporting.results import CLEAN_ACCURACY, Metric
from pumalib.reporting.settings.comparison import ComparisonSettings
from pumalib.reporting.statistics import (
    FEW_SEEDS_WARNING,
    MIN_SEEDS_FOR_CLAIM,
    NON_INFERIORITY_MARGIN,
    spread,
)
from pumalib.reporting.words import design_sentence, difference_cell

PUBLISHED = ("clean_accuracy", "robust_accuracy")
"""Numbers that may have been published for a run."""

Row = dict[str, Any]
"""One row of the comparison table, by column."""

Family = dict[tuple[str, str, Metric], Compared]
"""Every comparison of a table, by run, reference and metric; a pair that stands there both ways is one comparison."""


def num_comparisons(family: Family) -> int:
    """Count the comparisons that are corrected for: each pair of runs once, whichever way it stands."""
    return len({(frozenset((run, reference)), metric) for run, reference, metric in family})


def comparison_page(
    table: pd.DataFrame,
    metrics: Sequence[Metric],
    settings: ComparisonSettings,
    family: Family,
    test_to_train: float | None,
) -> str:
    """Return table and caption.

    Args:
        table: Of `comparison_table`.
        metrics: Its metrics.
        settings: Its settings.
        family: Its comparisons, by run, reference and metric.
        test_to_train: As in `Outcomes`.
    """
    rows: list[Row] = [{str(column): value for column, value in row.items()} for row in table.to_dict("records")]
    header = ["run", "pruned (%)", "rows kept", "mean epsilon"]
    for metric in metrics:
        header += [f"{metric.title} (%)", f"vs `{settings.baseline}`"]
        header += [f"vs `{settings.control}`"] if settings.control else []
    header += [f"non-inferior, {metric.attack}" for metric in metrics if metric != CLEAN_ACCURACY]
    header += [f"published (PUMA): {name.replace('_', ' ')} (%)" for name in PUBLISHED if settings.published]
    cells = [_cells(row, metrics, settings, family) for row in rows]
    return f"{markdown_table(header, cells)}\n\n{_caption(table, metrics, settings, family, test_to_train)}"


def _cells(row: Row, metrics: Sequence[Metric], settings: ComparisonSettings, family: Family) -> list[str]:
    cells = [
        f"`{row['run']}`",
        "-" if math.isnan(row["pruned_fraction"]) else f"{100 * row['pruned_fraction']:.1f}",
        "-" if math.isnan(row["num_kept"]) else f"{row['num_kept']:.0f}",
        "-" if math.isnan(row["mean_epsilon"]) else f"{row['mean_epsilon']:.4g}",
    ]
    for metric in metrics:
        cells.append(_mean_cell(row, metric))
        cells.append(_difference_cell(family.get((row["run"], settings.baseline, metric))))
        if settings.control:
            cells.append(_difference_cell(family.get((row["run"], settings.control, metric))))
    to_baseline = [
        family.get((row["run"], settings.baseline, metric)) for metric in metrics if metric != CLEAN_ACCURACY
    ]
    cells += ["-" if each is None else non_inferior(each.estimate, each.joint) for each in to_baseline]
    return cells + [_published_cell(row[f"published_{name}"]) for name in PUBLISHED if settings.published]


def _published_cell(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f}"


def _mean_cell(row: Row, metric: Metric) -> str:
    mean, deviation = 100 * row[f"{metric.column}_mean"], 100 * row[f"{metric.column}_sd"]
    return f"{mean:.2f} (one seed)" if math.isnan(deviation) else f"{mean:.2f} ± {deviation:.2f}"


def _difference_cell(compared: Compared | None) -> str:
    if compared is None:
        return "-"
    mark = "" if compared.direction == UNDECIDED else "*"
    return difference_cell(compared.estimate.value, compared.interval, mark)


def _caption(
    table: pd.DataFrame,
    metrics: Sequence[Metric],
    settings: ComparisonSettings,
    family: Family,
    test_to_train: float | None,
) -> str:
    num_seeds = pd.concat([table[f"{metric.column}_num_seeds"] for metric in metrics])
    lines = [
        "Accuracies in per cent of the test images, mean ± one standard deviation over seeds (n - 1).",
        *_interval_sentences(family, test_to_train),
        f"Seeds: {spread(num_seeds)}. Test images: {_test_images(table, metrics)}. "
        "Pruned fraction, rows kept and mean epsilon (signed, over rows as drawn, pixel scale) are means "
        "over seeds.",
        f"Baseline: `{settings.baseline}`. {_control_sentence(settings.control)}",
    ]
    if table.loc[table["num_kept"].notna(), "mean_epsilon"].isna().any():
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


def _interval_sentences(family: Family, test_to_train: float | None) -> list[str]:
    if not family:
        return ["There is nothing to compare, hence no interval."]
    count = num_comparisons(family)
    by_step = ""
    if any(each.is_of_step for each in family.values()):
        by_step = (
            " Where the joint interval holds 0 although Holm's test tells a difference, the interval shown is that of "
            "the test's step."
        )
    return [
        "Differences in percentage points, paired by seed and test image, with intervals at a joint "
        f"{100 * (1 - LEFT_OUT):g} % level: Bonferroni over {count} comparisons, so each interval stands at "
        f"{100 * (1 - LEFT_OUT / count):.4g} %. {design_sentence(test_to_train)}",
        f"`*`: Holm's step-down test over the {count} comparisons tells a difference at {100 * LEFT_OUT:g} %, with at "
        f"least {MIN_SEEDS_FOR_CLAIM} seeds.{by_step} No star means that a difference cannot be told. It does not mean "
        "that the runs are the same: the interval says how far apart they may be.",
    ]


def _test_images(table: pd.DataFrame, metrics: Sequence[Metric]) -> str:
    sizes = {metric.title: spread(table[f"{metric.column}_num_samples"]) for metric in metrics}
    if len(set(sizes.values())) == 1:
        return next(iter(sizes.values()))
    return ", ".join(f"{size} for {title}" for title, size in sizes.items())


def _control_sentence(control: str | None) -> str:
    if control is None:
        return "The report names no control: a gain in clean accuracy may come from a lower mean epsilon alone."
    return (
        f"Control: `{control}`, meant to have the same cut with a constant epsilon (or the same epsilons "
        "shuffled), so that a gain over it comes from which row gets which epsilon."
    )
