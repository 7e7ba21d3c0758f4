"""What a leaderboard says: what wins where, every number, and what is noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pumalib.reporting.estimates import Interval
from pumalib.reporting.families import LEFT_OUT
from pumalib.reporting.files import markdown_table
from pumalib.reporting.settings.leaderboard import ALL_ROWS, LeaderboardSettings
from pumalib.reporting.statistics import FEW_SEEDS_WARNING, MIN_SEEDS_FOR_CLAIM, spread
from pumalib.reporting.words import design_sentence, difference_cell

_METRICS = {"clean_accuracy": "clean", "robust_accuracy": "robust"}


def leaderboard_summary(table: pd.DataFrame, settings: LeaderboardSettings) -> str:
    """Return which methods are told from random rows in each group, and how many are not."""
    header = [
        "panel",
        "kept (%)",
        f"better than `{settings.random}`",
        f"worse than `{settings.random}`",
        "noise",
        "rank 1",
    ]
    groups = table.groupby(["panel", "kept"], sort=False)
    rows = [[str(panel), str(kept), *_summary_cells(group)] for (panel, kept), group in groups]
    told = table[table["told"] != ""]["told"]
    higher, lower = int((told == "higher").sum()), int((told == "lower").sum())
    lines = [
        f"**Of {len(told)} comparisons with `{settings.random}`, {higher} {_are(higher)} told to be better, {lower} "
        f"{_are(lower)} told to be worse, and {len(told) - higher - lower} cannot be told from noise.**",
        markdown_table(header, rows),
    ]
    if table["num_seeds"].min() < MIN_SEEDS_FOR_CLAIM:
        lines.append(FEW_SEEDS_WARNING)
    return "\n\n".join(lines)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _summary_cells(group: pd.DataFrame) -> list[str]:
    compared = group[group["told"] != ""]
    told = [_names(compared[compared["told"] == direction]) for direction in ("higher", "lower")]
    first = group[group["rank"] == 1]
    noise = f"{int((compared['told'] == 'cannot be told').sum())} of {len(compared)}"
    return [*told, noise, "all" if len(first) == len(group) > 1 else _names(first)]


def _names(rows: pd.DataFrame) -> str:
    return ", ".join(f"`{method}`" for method in rows["method"]) or "-"


def leaderboard_page(
    table: pd.DataFrame, settings: LeaderboardSettings, test_to_train: Mapping[str, float | None]
) -> str:
    """Return every number, a table per panel, and what the numbers mean."""
    parts = [_how_to_read(table, settings)]
    for label in settings.panels:
        rows = table[table["panel"] == label]
        head, *_ = rows.to_dict("records")
        parts += [
            f"# {label}",
            f"`{head['training']}` on `{head['dataset']}`, ranked by {_METRICS[head['metric']]} accuracy. Seeds: "
            f"{spread(rows['num_seeds'])}. Test images: {spread(rows['num_samples'])}. "
            f"{design_sentence(test_to_train[label])}",
            _panel_table(rows, settings),
        ]
    return "\n\n".join(parts)


def _panel_table(rows: pd.DataFrame, settings: LeaderboardSettings) -> str:
    header = [
        "method",
        "kept (%)",
        "rank",
        "clean (%)",
        f"robust, {settings.attack} (%)",
        f"minus `{settings.random}` (points)",
        "passes of the training (millions)",
        "with models and scores",
    ]
    return markdown_table(header, [_cells(row) for _, row in rows.iterrows()])


def _cells(row: pd.Series[Any]) -> list[str]:
    interval = Interval(row["minus_random_low"], row["minus_random_high"])
    star = "*" if row["told"] in ("higher", "lower") else ""
    return [
        f"`{row['method']}`",
        str(row["kept"]),
        str(row["rank"]),
        _accuracy(row, "clean_accuracy"),
        _accuracy(row, "robust_accuracy"),
        difference_cell(row["minus_random"], interval, star),
        _millions(row["training_passes"]),
        _millions(row["passes"]),
    ]


def _accuracy(row: pd.Series[Any], metric: str) -> str:
    deviation = row[f"{metric}_sd"]
    return f"{100 * row[metric]:.2f}" + ("" if math.isnan(deviation) else f" ± {100 * deviation:.2f}")


def _millions(passes: float) -> str:
    return "unknown" if math.isnan(passes) else f"{passes / 1e6:.2f}"


def _how_to_read(table: pd.DataFrame, settings: LeaderboardSettings) -> str:
    groups = table.groupby(["panel", "kept"]).ngroups
    lines = [
        f"Differences to `{settings.random}` at the same share of kept rows, in points. A filled mark and a star are "
        "told from 0 by Holm's test; an open mark is noise. The grey band is one standard deviation of "
        f"`{settings.random}` over seeds.",
        f"A group is one panel at one share. Its intervals hold jointly at {100 * (1 - LEFT_OUT):g} % (Bonferroni). "
        "Where such an interval holds 0 although the test tells a difference, the interval shown is that of the test's "
        "step. "
        f"There are {groups} groups. If nothing differed at all, about one group in twenty would still show a star.",
        "The rank is one more than the number of methods that are told to be better, each method against each other "
        "one. So methods of rank 1 are not told apart from the best. The truly best method is among them with a chance "
        f"of at least {100 * (1 - LEFT_OUT):g} %.",
        "Passes are images through a network, forward and backward, over a whole training. The last column adds all "
        "models and scores that the run stands on.",
    ]
    if (table["kept"] == ALL_ROWS).any():
        lines.append(f"At {ALL_ROWS} % nothing is pruned: `{settings.random}` is the run on all rows.")
    return "\n\n".join(lines)
