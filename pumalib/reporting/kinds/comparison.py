"""The table of a comparison: means over seeds, and differences paired by seed and image with joint intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pumalib.reporting.axis_limits import Limits, limits_of_differences
from pumalib.reporting.colours import RunStyles
from pumalib.reporting.estimates import Estimate
from pumalib.reporting.families import Compared, compare_family
from pumalib.reporting.figures import PAGE_WIDTH_INCHES, figure_style, new_figure
from pumalib.reporting.kinds.comparison_page import PUBLISHED, Family, comparison_page
from pumalib.reporting.outcomes import Measured, Outcomes, read_runs
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.primary import Contrast, elsewhere_sentence, settle, verdict_sentence
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
from pumalib.reporting.settings.comparison import ComparisonSettings, PublishedNumbers
from pumalib.reporting.statistics import NON_INFERIORITY_MARGIN, summarise
from pumalib.results.collect import RunFiles

FIGURE_NOTE = (
    f"Dashed line: the loss of {100 * NON_INFERIORITY_MARGIN:g} points that non-inferiority rules out. All panels have "
    "one scale; an arrow marks an interval that goes on beyond it."
)
"""What the figure cannot say by itself."""


def comparison_metrics(results: pd.DataFrame, settings: ComparisonSettings) -> list[Metric]:
    """Return the metrics of the table: clean accuracy, then robust accuracy under each attack."""
    return [CLEAN_ACCURACY, *map(robust_accuracy, chosen_attacks(results, settings.attacks))]


def compare(outcomes: Outcomes, runs: Sequence[str], settings: ComparisonSettings, metrics: Sequence[Metric]) -> Family:
    """Compare each run with each reference under each metric, as one family.

    Raises:
        DataError: If a run or a seed is missing, or compared runs had different test sets.
    """
    asked = [
        (run, reference, metric)
        for metric in metrics
        for run in runs
        for reference in _references(settings).values()
        if run != reference
    ]
    estimates: dict[tuple[str, str, Metric], Estimate] = {}
    for run, reference, metric in asked:
        if (reference, run, metric) not in estimates:
            estimates[run, reference, metric] = outcomes.difference(run, reference, metric)
    family = compare_family(estimates)
    others = [each for each in asked if each not in family]
    return family | {each: family[each[1], each[0], each[2]].mirrored() for each in others}


def _references(settings: ComparisonSettings) -> dict[str, str]:
    control = {} if settings.control is None else {"control": settings.control}
    return {"baseline": settings.baseline, **control}


def comparison_table(results: pd.DataFrame, outcomes: Outcomes, settings: ComparisonSettings) -> pd.DataFrame:
    """Return one row per run, in the order of the settings or, without `runs`, of the file.

    Columns: run, pruned_fraction, num_kept, mean_epsilon (means over seeds; the last is nan for a run that finds its
    epsilons during training); then for each metric, with the prefix `clean_accuracy` or `robust_accuracy_<attack>`:
    `_mean`, `_low`, `_high` (95 % interval of the mean, each alone), `_sd`, `_minus_baseline`, `_minus_baseline_low`,
    `_minus_baseline_high`, `_minus_baseline_p` (Holm), the same four for `_minus_control` if there is a control,
    `_num_seeds`, `_num_samples` (test images per seed; the smallest number if seeds differ); last, if the settings
    hold published numbers, `published_clean_accuracy` and `published_robust_accuracy`. Accuracies are shares in
    [0, 1]. A run's difference to itself is nan, and so is each interval and p-value below three seeds.

    Args:
        results: Tidy results of one study.
        outcomes: Their answers to each test image.
        settings: Runs, references and attacks.

    Raises:
        DataError: If a run, an attack or a seed is missing, or compared runs had different test sets.
    """
    runs, metrics = _runs_and_metrics(results, settings)
    return _table(results, outcomes, settings, compare(outcomes, runs, settings, metrics))


def _runs_and_metrics(results: pd.DataFrame, settings: ComparisonSettings) -> tuple[list[str], list[Metric]]:
    check_results(results)
    runs = chosen_runs(results, settings.runs, settings.baseline, settings.control)
    refuse_unequal_test_sets(results, [*runs, *_references(settings).values()])
    return runs, comparison_metrics(results, settings)


def _table(results: pd.DataFrame, outcomes: Outcomes, settings: ComparisonSettings, family: Family) -> pd.DataFrame:
    runs, metrics = _runs_and_metrics(results, settings)
    rows = []
    for run in runs:
        row: dict[str, str | float | int] = {"run": run}
        per_seed = results[results["run"] == run].drop_duplicates("seed")
        for column in ("pruned_fraction", "num_kept", "mean_epsilon"):
            row[column] = mean(per_seed[column].astype(float).tolist())
        for metric in metrics:
            row |= _mean_columns(results, outcomes, run, metric)
            for word, reference in _references(settings).items():
                row |= _difference_columns(f"{metric.column}_minus_{word}", family.get((run, reference, metric)))
            row |= _counts(results, run, metric)
        rows.append(row)
    return pd.concat([pd.DataFrame(rows), published_columns(runs, settings)], axis=1)


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


def _mean_columns(results: pd.DataFrame, outcomes: Outcomes, run: str, metric: Metric) -> dict[str, float]:
    summary = summarise(list(values_by_seed(results, run, metric).values()))
    low, high = outcomes.mean(run, metric).interval()
    names = ("mean", "low", "high", "sd")
    numbers = (summary.mean, low, high, summary.standard_deviation)
    return {f"{metric.column}_{name}": number for name, number in zip(names, numbers, strict=True)}


def _difference_columns(prefix: str, compared: Compared | None) -> dict[str, float]:
    """Return a difference, its interval and its p-value; nan for that of a run to itself."""
    numbers = (math.nan,) * 4
    if compared is not None:
        numbers = (compared.estimate.value, *compared.interval, compared.p_value)
    return dict(zip((prefix, f"{prefix}_low", f"{prefix}_high", f"{prefix}_p"), numbers, strict=True))


def _counts(results: pd.DataFrame, run: str, metric: Metric) -> dict[str, int]:
    rows = rows_of(results, run, metric)
    return {
        f"{metric.column}_num_seeds": rows["seed"].nunique(),
        f"{metric.column}_num_samples": int(rows["num_samples"].min()),
    }


def draw_differences(table: pd.DataFrame, metrics: Sequence[Metric], baseline: str, styles: RunStyles) -> Figure:
    """Draw one line per run other than the baseline, in percentage points; the first run on top.

    All panels have one scale, by the differences: an interval that is far wider is cut, with an arrow at the edge.

    Args:
        table: Of `comparison_table`.
        metrics: Its metrics, one panel each.
        baseline: Its baseline, drawn as the line at 0.
        styles: Of the runs.
    """
    rows = table[table["run"] != baseline]
    limits = _shared_limits(rows, metrics)
    with figure_style():
        figure, panels = new_figure(PAGE_WIDTH_INCHES, 0.9 + 0.24 * max(len(rows), 1), len(metrics))
        for axes, metric in zip(panels, metrics, strict=True):
            axes.set_xlim(*limits)
            _draw_panel(axes, rows, metric, baseline, styles)
        panels[0].set_yticks(range(len(rows)), rows["run"].tolist())
        panels[0].set_ylim(len(rows) - 0.4, -0.6)
    return figure


def _shared_limits(rows: pd.DataFrame, metrics: Sequence[Metric]) -> Limits:
    prefixes = [f"{metric.column}_minus_baseline" for metric in metrics]
    means = (100 * rows[prefixes]).to_numpy().ravel()
    ends = (100 * rows[[f"{prefix}_{end}" for prefix in prefixes for end in ("low", "high")]]).to_numpy().ravel()
    return limits_of_differences(means.tolist(), ends.tolist())


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
        _mark_cut_ends(axes, low, high, height, style.colour)
        axes.plot([mean], [height], style.marker, color=style.colour, markersize=5, zorder=3)
    axes.set_title(metric.title)
    axes.set_xlabel(f"difference to {baseline} (points)")
    axes.grid(True, axis="x")
    axes.tick_params(axis="y", length=0)


def _mark_cut_ends(axes: Axes, low: float, high: float, height: float, colour: str) -> None:
    """Draw an arrow where an interval goes on beyond the axis."""
    left, right = axes.get_xlim()
    for marker, place, is_cut in (("<", left, low < left), (">", right, high > right)):
        if is_cut:
            axes.plot([place], [height], marker, color=colour, markersize=4, clip_on=False, zorder=3)


def make(
    settings: ComparisonSettings,
    *,
    study: str,
    files: Sequence[RunFiles],
    styles: RunStyles,
    test_to_train: float | None,
    split: str,
    primary: Contrast | None = None,
) -> ReportParts:
    """Make the table and its figure from the files of each run and seed."""
    return comparison_parts(read_runs(study, files, test_to_train), settings, styles, primary, split)


def comparison_parts(
    measured: Measured,
    settings: ComparisonSettings,
    styles: RunStyles,
    primary: Contrast | None = None,
    split: str = "test",
) -> ReportParts:
    """Return the table in full precision and to be read, and a figure of the intervals."""
    results, outcomes, warnings = measured
    runs, metrics = _runs_and_metrics(results, settings)
    family = compare(outcomes, runs, settings, metrics)
    table = _table(results, outcomes, settings, family)
    page = comparison_page(table, metrics, settings, family, outcomes.test_to_train)
    return ReportParts(
        table,
        draw_differences(table, metrics, settings.baseline, styles),
        f"Differences to {settings.baseline}",
        "\n\n".join([f"The same differences and intervals. {FIGURE_NOTE}", *warnings]),
        text_above="\n\n".join([*_primary_lines(primary, outcomes, split), page]),
    )


def _primary_lines(primary: Contrast | None, outcomes: Outcomes, split: str) -> list[str]:
    """Return the verdict of the primary contrast, or where it stands if its runs or its images are not all here."""
    if primary is None:
        return ["Every comparison here is exploratory: the study names no primary contrast."]
    runs = (primary.run, primary.against)
    if primary.split != split or any((run, primary.measured) not in outcomes.answers for run in runs):
        return [elsewhere_sentence(primary)]
    return [verdict_sentence(primary, settle(primary, outcomes))]
