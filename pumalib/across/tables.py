"""A comparison of two results as a table: to be read, and for programs."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from pumalib.across.differences import PAIRED, Comparison, Line
from pumalib.reporting.families import LEFT_OUT, UNDECIDED
from pumalib.reporting.results import CLEAN_ACCURACY
from pumalib.reporting.statistics import MIN_SEEDS_FOR_CLAIM, NO_INTERVAL, Summary

_HEADER = ("run", "measured", "first (%)", "second (%)", "second - first (points)", "seeds", "paired by")


def readable_table(comparison: Comparison) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and a row of words for each line: accuracies in per cent, differences in points.

    What differences are paired by has a column where it is not the same for all.
    """
    rows = [_readable(line) for line in comparison.lines]
    width = len(_HEADER) if len(_pairings(comparison)) > 1 else len(_HEADER) - 1
    return _HEADER[:width], [row[:width] for row in rows]


def _pairings(comparison: Comparison) -> list[str]:
    return list(dict.fromkeys(line.paired_by for line in comparison.lines))


def _readable(line: Line) -> tuple[str, ...]:
    first, second = line.summaries
    runs = dict.fromkeys((line.first.run, line.second.run))
    seeds = dict.fromkeys((str(first.num_seeds), str(second.num_seeds)))
    return (
        " = ".join(runs),
        measured_words(line),
        _mean(first),
        _mean(second),
        _difference(line),
        ", ".join(seeds),
        line.paired_by,
    )


def measured_words(line: Line) -> str:
    """Return what was measured, such as `cw, L-inf 0.1`."""
    parts = ["clean" if line.metric == CLEAN_ACCURACY else line.metric.attack]
    parts += [str(line.threat)] if line.threat else []
    parts += [f"{line.split} rows"] if line.split not in ("", "test") else []
    return ", ".join(parts)


def _mean(summary: Summary) -> str:
    mean, deviation = 100 * summary.mean, 100 * summary.standard_deviation
    return f"{mean:.2f}" if math.isnan(deviation) else f"{mean:.2f} ± {deviation:.2f}"


def _difference(line: Line) -> str:
    points = f"{100 * line.difference:+z.2f}"
    if line.compared is None:
        return f"{points} [no interval]"
    low, high = line.compared.interval
    if math.isnan(low):
        return f"{points} [{NO_INTERVAL}]"
    mark = "" if line.compared.direction == UNDECIDED else "*"
    return f"{points}{mark} [{100 * low:z.2f}, {100 * high:z.2f}]"


def caption(comparison: Comparison) -> list[str]:
    """Return what the table's numbers mean."""
    lines = ["Accuracies: mean ± one standard deviation over seeds."]
    if len(pairings := _pairings(comparison)) == 1:
        lines.append(_pairing_sentence(pairings[0]))
    with_interval = [line for line in comparison.lines if line.compared and line.compared.estimate.has_interval]
    if with_interval:
        count = comparison.num_compared
        lines.append(
            f"Intervals hold jointly at {100 * (1 - LEFT_OUT):g} %: Bonferroni over {count} comparisons, each at "
            f"{100 * (1 - LEFT_OUT / count):.4g} %. *: Holm's test tells a difference, with at least "
            f"{MIN_SEEDS_FOR_CLAIM} seeds. No star is no evidence that two runs are the same."
        )
    if any(line.paired_by != PAIRED for line in with_interval):
        lines.append(
            "Where nothing is paired, the interval is that of two independent means. It is too wide, not too narrow, "
            "where the two share images or train rows all the same."
        )
    return lines


def _pairing_sentence(paired_by: str) -> str:
    if paired_by == PAIRED:
        return f"Differences are paired by {PAIRED}."
    return f"Nothing is paired: {paired_by.partition(': ')[2]}."


def table_of(comparison: Comparison) -> pd.DataFrame:
    """Return one row per line, in full precision.

    Columns: run, run_in_second, metric, attack, norm, epsilon, split, first_mean, first_sd, first_num_seeds,
    second_mean, second_sd, second_num_seeds, difference (second minus first), low, high (joint 95 %), p (Holm's),
    paired_by. Accuracies are shares; what is not known is nan or empty.
    """
    return pd.DataFrame([_cells(line) for line in comparison.lines])


def _cells(line: Line) -> dict[str, Any]:
    threat = line.threat
    row: dict[str, Any] = {"run": line.first.run, "run_in_second": line.second.run}
    row |= {"metric": line.metric.name, "attack": line.metric.attack}
    row |= {"norm": threat.norm if threat else "", "epsilon": threat.epsilon if threat else math.nan}
    row["split"] = line.split
    for side, summary in zip(("first", "second"), line.summaries, strict=True):
        row |= {f"{side}_{name}": value for name, value in zip(("mean", "sd", "num_seeds"), summary, strict=True)}
    low, high, p_value = (math.nan,) * 3
    if line.compared is not None:
        (low, high), p_value = line.compared.interval, line.compared.p_value
    return row | {"difference": line.difference, "low": low, "high": high, "p": p_value, "paired_by": line.paired_by}
