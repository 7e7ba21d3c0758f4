"""A leaderboard of pruning methods: differences to random rows, ranks that noise allows, and costs.

A group is one panel (a dataset and a way to train) at one share of kept rows. Each method is compared with each other
method of its group. All comparisons of one method are a family: Holm's test tells them at 5 %. A method's rank is one
more than the number of methods that are told to be better. So a rank is too bad with a chance of 5 % at most, and the
method that is truly best shares rank 1 with a chance of 95 % at least (both are ours to choose).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from pumalib.errors import DataError
from pumalib.files.artifacts import content_fingerprint
from pumalib.reporting.costs import WHOLE, cost_table
from pumalib.reporting.estimates import Estimate
from pumalib.reporting.families import Compared, compare_family
from pumalib.reporting.kinds.leaderboard_figure import draw_leaderboard
from pumalib.reporting.kinds.leaderboard_json import leaderboard_record
from pumalib.reporting.kinds.leaderboard_page import leaderboard_page, leaderboard_summary
from pumalib.reporting.outcomes import Measured, Outcomes, read_runs
from pumalib.reporting.parts import ReportParts
from pumalib.reporting.results import CLEAN_ACCURACY, Metric, robust_accuracy, rows_of, values_by_seed
from pumalib.reporting.settings.cost import TRAINING, CostPart
from pumalib.reporting.settings.leaderboard import MOST_OFF, Entry, LeaderboardSettings
from pumalib.reporting.statistics import summarise
from pumalib.results.collect import RunFiles


@dataclass(frozen=True)
class PanelFiles:
    """What a panel is made from.

    Attributes:
        files: of its runs.
        test_to_train: test rows over train rows where each seed has a split of its own; None: one test set for all.
        dataset: its name.
        training: method of training.
    """

    files: Sequence[RunFiles]
    test_to_train: float | None
    dataset: str
    training: str


@dataclass(frozen=True)
class Ranked:
    """A method in its group.

    Attributes:
        rank: one more than the number of methods that are told to be better.
        compared: with random rows; None: it is these.
    """

    rank: int
    compared: Compared | None


def rank_group(outcomes: Outcomes, runs: Mapping[str, str], metric: Metric, random: str) -> dict[str, Ranked]:
    """Rank the methods of a group.

    Args:
        outcomes: of its runs.
        runs: by method.
        metric: to rank by; higher is better.
        random: method that the others are compared with.

    Raises:
        DataError: a run or a seed is missing, or runs had different test sets.
    """
    differences = _differences(outcomes, runs, metric)
    families = {
        method: compare_family({other: differences[other, method] for other in runs if other != method})
        for method in runs
    }
    return {
        method: Ranked(
            1 + sum(other.direction == "higher" for other in families[method].values()),
            None if method == random else families[random][method],
        )
        for method in runs
    }


def _differences(outcomes: Outcomes, runs: Mapping[str, str], metric: Metric) -> dict[tuple[str, str], Estimate]:
    """Return by how much each method is more accurate than each other one."""
    found = {}
    for one, other in combinations(runs, 2):
        found[one, other] = outcomes.difference(runs[one], runs[other], metric)
        found[other, one] = found[one, other].mirrored()
    return found


def leaderboard_table(
    measured: Mapping[str, Measured],
    panels: Mapping[str, PanelFiles],
    costs: pd.DataFrame,
    settings: LeaderboardSettings,
) -> pd.DataFrame:
    """Return a row per panel, share and method: panels in order, shares ascending, then ranks, then accuracies.

    Columns: panel, dataset, training, kept (%), rank, method, run, metric, attack (behind robust accuracy), mean and sd
    (of the metric), minus_random, _low, _high, _p (Holm) and told (`higher`, `lower` or `cannot be told`; all five
    empty for random rows), clean_accuracy, clean_accuracy_sd, robust_accuracy, robust_accuracy_sd, training_passes,
    passes (of the training and all that it stands on; nan: unknown), num_kept (rows, mean over seeds), num_seeds,
    num_samples. Accuracies are shares.

    Raises:
        DataError: a run, an attack or a seed is missing, runs of a panel had different test sets, or one keeps another
            share than is said.
    """
    rows = []
    for label, panel in panels.items():
        entries = settings.entries(label)
        refuse_other_shares(measured[label], entries)
        for kept in sorted({entry.kept for entry in entries}):
            group = [entry for entry in entries if entry.kept == kept]
            rows += _group_rows(label, panel, group, measured[label], costs, settings)
    return pd.DataFrame(rows)


def refuse_other_shares(measured: Measured, entries: Sequence[Entry]) -> None:
    """Refuse a run that keeps another share of its pool than the leaderboard says.

    Raises:
        DataError: with both shares.
    """
    kept = 100 * (1 - measured.results.groupby("run")["pruned_fraction"].mean())
    for entry in entries:
        if abs(kept[entry.run] - entry.kept) > MOST_OFF:
            raise DataError(
                f'expected run "{entry.run}" to keep {entry.kept} % of its rows, got {kept[entry.run]:.1f} %; '
                "correct its prune steps, or its share under methods"
            )


def _group_rows(
    label: str,
    panel: PanelFiles,
    group: Sequence[Entry],
    measured: Measured,
    costs: pd.DataFrame,
    settings: LeaderboardSettings,
) -> list[dict[str, Any]]:
    """Return the rows of one group, best rank first; a group of random rows alone has one."""
    robust = robust_accuracy(settings.attack)
    metric = robust if settings.panels[label].metric == robust.name else CLEAN_ACCURACY
    ranked = rank_group(measured.outcomes, {each.method: each.run for each in group}, metric, settings.random)
    place = {"panel": label, "dataset": panel.dataset, "training": panel.training, "kept": group[0].kept}
    rows: list[dict[str, Any]] = [
        {
            **place,
            "rank": ranked[entry.method].rank,
            "method": entry.method,
            "run": entry.run,
            "metric": metric.name,
            "attack": settings.attack,
            **_spread(measured, entry.run, metric, "mean", "sd"),
            **_difference(ranked[entry.method].compared),
            **_spread(measured, entry.run, CLEAN_ACCURACY, "clean_accuracy", "clean_accuracy_sd"),
            **_spread(measured, entry.run, robust, "robust_accuracy", "robust_accuracy_sd"),
            **_passes(costs, entry.run),
            **_counts(measured, entry.run, metric),
        }
        for entry in group
    ]
    return sorted(rows, key=lambda row: (row["rank"], -row["mean"]))


def _spread(measured: Measured, run: str, metric: Metric, mean: str, deviation: str) -> dict[str, float]:
    summary = summarise(list(values_by_seed(measured.results, run, metric).values()))
    return {mean: summary.mean, deviation: summary.standard_deviation}


def _difference(compared: Compared | None) -> dict[str, str | float]:
    """Return the difference to random rows; nothing for these."""
    names = ("minus_random", "minus_random_low", "minus_random_high", "minus_random_p")
    if compared is None:
        return {**dict.fromkeys(names, math.nan), "told": ""}
    numbers = (compared.estimate.value, *compared.interval, compared.p_value)
    return {**dict(zip(names, numbers, strict=True)), "told": compared.direction}


def _passes(costs: pd.DataFrame, run: str) -> dict[str, float]:
    """Return images through networks, forward and backward, mean over seeds."""
    of_run = costs[costs["run"] == run].set_index("part")
    totals = of_run["forward_passes"] + of_run["backward_passes"]
    return {"training_passes": float(totals.loc[TRAINING]), "passes": float(totals.loc[WHOLE])}


def _counts(measured: Measured, run: str, metric: Metric) -> dict[str, float | int]:
    rows = rows_of(measured.results, run, metric)
    return {
        "num_kept": float(rows["num_kept"].astype(float).mean()),
        "num_seeds": rows["seed"].nunique(),
        "num_samples": int(rows["num_samples"].min()),
    }


def fingerprint_of(measured: Mapping[str, Measured]) -> str:
    """Return the fingerprint of all answers of all models: equal ones are the same results."""
    parts = []
    for label, found in measured.items():
        for (run, metric), by_seed in sorted(found.outcomes.answers.items()):
            for seed, answers in sorted(by_seed.items()):
                parts += [f"{label}/{run}/{metric.column}/{seed}", answers.row, answers.label, answers.correct]
    return content_fingerprint(*parts)


def make(
    settings: LeaderboardSettings, *, study: str, panels: Mapping[str, PanelFiles], parts: Sequence[CostPart]
) -> ReportParts:
    """Make the rankings from the results of all runs, and from all that these stand on."""
    measured = {label: read_runs(study, panel.files, panel.test_to_train) for label, panel in panels.items()}
    table = leaderboard_table(measured, panels, cost_table(parts), settings)
    targets: dict[str, list[str]] = {}
    for file in (file for panel in panels.values() for file in panel.files):
        targets.setdefault(file.run, []).append(file.attacks[settings.attack].as_posix())
    warnings = list(dict.fromkeys(line for found in measured.values() for line in found.warnings))
    ratios = {label: panel.test_to_train for label, panel in panels.items()}
    return ReportParts(
        table,
        draw_leaderboard(table, settings),
        "Differences to random rows",
        "\n\n".join([leaderboard_page(table, settings, ratios), *warnings]),
        text_above=leaderboard_summary(table, settings),
        json=leaderboard_record(table, study, fingerprint_of(measured), targets),
    )
