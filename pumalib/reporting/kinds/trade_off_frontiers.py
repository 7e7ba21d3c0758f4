"""How far runs lie above the line through the runs of a plain knob, such as the baseline over epsilon."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from pumalib.reporting.files import markdown_table
from pumalib.reporting.statistics import PairedDifference, paired_difference

CONFIDENCE = 0.95
"""Joint confidence of all intervals of one figure."""


def height_at(clean: float, frontier: pd.DataFrame) -> float:
    """Return the robust accuracy that a frontier offers at a clean accuracy, by linear interpolation.

    Of points with one clean accuracy the most robust counts; below the frontier's range its least accurate point
    counts, which is the better choice there at both accuracies (choices of ours).

    Args:
        clean: Clean accuracy, a share in [0, 1].
        frontier: One row per run of the frontier: clean_accuracy, robust_accuracy.

    Returns:
        A share in [0, 1]; nan above the frontier's range of clean accuracy: nothing is extrapolated.
    """
    line = frontier.groupby("clean_accuracy")["robust_accuracy"].max()  # sorted by clean accuracy
    places = line.index.to_numpy(np.float64)
    return float(np.interp(clean, places, line.to_numpy(np.float64), right=math.nan))


def frontier_distances(points: pd.DataFrame, frontiers: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return the vertical distance of each run that is on no frontier to each frontier, paired by seed.

    For each seed, the run is compared with the line through that seed's points of the undominated runs. Intervals are
    Student t, corrected for the number of rows of this table (Bonferroni).

    Args:
        points: Of `trade_off_points`.
        frontiers: Runs of each frontier, by label.

    Returns:
        Columns frontier, run, distance, low, high (shares; nan where a seed lies above the frontier's range),
        num_seeds, num_outside (seeds above the range).

    Raises:
        DataError: If a run of the frontier lacks a seed of the run.
    """
    on_frontier = {run for runs in frontiers.values() for run in runs}
    others = [run for run in dict.fromkeys(points["run"]) if run not in on_frontier]
    count = max(1, len(others) * len(frontiers))
    rows = []
    for label, runs in frontiers.items():
        line = _best_of(points, runs)
        for run in others:
            heights = _heights(points[points["run"] == run], line)
            outside = sum(math.isnan(height) for height in heights.values())
            difference = _difference(points[points["run"] == run], heights, count)
            rows.append((label, run, *difference[:3], len(heights), outside))
    return pd.DataFrame(rows, columns=["frontier", "run", "distance", "low", "high", "num_seeds", "num_outside"])


def undominated(points: pd.DataFrame, runs: Sequence[str]) -> list[str]:
    """Return the runs that no other of them beats in both mean accuracies: a knob would not be left at the others.

    Chosen by means over seeds, because the best of each seed would be better than any setting of the knob.
    """
    means = points[points["run"].isin(list(runs))].groupby("run")[["clean_accuracy", "robust_accuracy"]].mean()
    clean, robust = means["clean_accuracy"], means["robust_accuracy"]
    return [run for run in runs if not ((clean > clean[run]) & (robust > robust[run])).any()]


def distances_by_seed(points: pd.DataFrame, runs: Sequence[str]) -> pd.Series:
    """Return how far each row of `points` lies above the frontier of a knob's runs, with the row's own seed.

    Returns:
        Shares, indexed as `points`; nan above the frontier's range, for its own runs, and for seeds that it lacks.
    """
    line = _best_of(points, runs)
    distances = pd.Series(math.nan, index=points.index)
    for _, run in points[~points["run"].isin(list(runs))].groupby("run"):
        distances[run.index] = run["robust_accuracy"] - run["seed"].map(_heights(run, line))
    return distances


def _best_of(points: pd.DataFrame, runs: Sequence[str]) -> pd.DataFrame:
    return points[points["run"].isin(undominated(points, runs))]


def _heights(run: pd.DataFrame, line: pd.DataFrame) -> dict[int, float]:
    """Return the frontier's height at the run's clean accuracy, for each seed that the whole frontier has."""
    num_runs = line["run"].nunique()
    lines = {seed: line[line["seed"] == seed] for seed in line["seed"].unique().tolist()}
    by_seed = {int(seed): rows for seed, rows in lines.items() if len(rows) == num_runs}
    seeds = zip(run["seed"], run["clean_accuracy"], strict=True)
    return {int(seed): height_at(float(clean), by_seed[int(seed)]) for seed, clean in seeds if int(seed) in by_seed}


def _difference(run: pd.DataFrame, heights: Mapping[int, float], count: int) -> PairedDifference:
    values = {int(seed): float(value) for seed, value in zip(run["seed"], run["robust_accuracy"], strict=True)}
    if any(math.isnan(height) for height in heights.values()):
        return PairedDifference(math.nan, math.nan, math.nan, len(heights))
    return paired_difference(values, heights, count, CONFIDENCE)


def frontier_section(distances: pd.DataFrame) -> str:
    """Return the distances as a table in percentage points, and how they were found."""
    header = ["frontier", "run", "above the frontier (points)", "seeds above its range"]
    rows = [
        [
            str(row["frontier"]),
            f"`{row['run']}`",
            _distance_cell(row["distance"], row["low"], row["high"]),
            f"{row['num_outside']} of {row['num_seeds']}",
        ]
        for row in distances.to_dict("records")
    ]
    if not rows:
        return "Grey lines: frontiers, through the mean points of the runs of one knob. Every run drawn is on one."
    level = 100 * (1 - (1 - CONFIDENCE) / len(rows))
    return (
        f"{markdown_table(header, rows)}\n\n"
        "Grey lines: frontiers, through the mean points of the runs of one knob. The table holds each other run "
        "against the runs of the knob that no other one beats in both mean accuracies: its robust accuracy minus "
        "theirs at the same clean accuracy, by linear interpolation, "
        f"for each seed on its own; means over seeds with Student t intervals at a joint {100 * CONFIDENCE:g} % level "
        f"(Bonferroni over {len(rows)} distances, each interval at {level:.4g} %). A run less accurate than the whole "
        "frontier is held against its least accurate run. nan: with some seed the run is more accurate than the whole "
        "frontier, so that there is nothing to compare it with; add runs to the frontier. Each seed's distance stands "
        "in the CSV."
    )


def _distance_cell(distance: float, low: float, high: float) -> str:
    if math.isnan(distance):
        return "nan"
    if math.isnan(low):
        return f"{100 * distance:+z.2f} [no interval: one seed]"
    return f"{100 * distance:+z.2f} [{100 * low:z.2f}, {100 * high:z.2f}]"
