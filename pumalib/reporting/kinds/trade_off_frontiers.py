"""How far runs lie above the line through the runs of a plain knob, such as the baseline over epsilon."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.reporting.estimates import Estimate, Interval
from pumalib.reporting.families import LEFT_OUT, UNDECIDED, compare_family
from pumalib.reporting.files import markdown_table
from pumalib.reporting.outcomes import Outcomes, refuse_unpaired_seeds
from pumalib.reporting.results import Metric, robust_accuracy
from pumalib.reporting.statistics import MIN_SEEDS_FOR_CLAIM
from pumalib.reporting.words import design_sentence, difference_cell


class Place(NamedTuple):
    """Where on a frontier a clean accuracy is: between two runs, or at one."""

    runs: tuple[str, str]
    weights: tuple[float, float]
    slope: float
    """Robust accuracy over clean accuracy, between the two; 0 at one run."""


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


def place_at(clean: float, frontier: pd.DataFrame) -> Place:
    """Return the runs between which `height_at` interpolates, for a clean accuracy that is not above all of them."""
    order = frontier.sort_values(["clean_accuracy", "robust_accuracy"]).drop_duplicates("clean_accuracy", keep="last")
    runs = order["run"].tolist()
    places, heights = (order[name].to_numpy(np.float64) for name in ("clean_accuracy", "robust_accuracy"))
    right = int(np.searchsorted(places, clean))
    if right == 0:
        return Place((runs[0], runs[0]), (1.0, 0.0), 0.0)
    left, width = right - 1, places[right] - places[right - 1]
    share = float((clean - places[left]) / width)
    slope = float((heights[right] - heights[left]) / width)
    return Place((runs[left], runs[right]), (1 - share, share), slope)


def frontier_distances(
    points: pd.DataFrame, outcomes: Outcomes, frontiers: Mapping[str, Sequence[str]], attack: str
) -> pd.DataFrame:
    """Return the vertical distance of each run that is on no frontier to each frontier, paired by seed and image.

    For each seed, the run is compared with the line through that seed's points of the undominated runs. All
    distances are one family (`families`).

    Args:
        points: Of `trade_off_points`.
        outcomes: The answers behind them.
        frontiers: Runs of each frontier, by label.
        attack: Of the points.

    Returns:
        Columns frontier, run, distance, low, high (shares; nan where a seed lies above the frontier's range), p (Holm),
        is_told (Holm's test tells a distance, with five seeds at least), num_seeds, num_outside (seeds above the
        range).

    Raises:
        DataError: If a run of the frontier lacks a seed of the run.
    """
    on_frontier = {run for runs in frontiers.values() for run in runs}
    others = [run for run in dict.fromkeys(points["run"]) if run not in on_frontier]
    estimates, outside = {}, {}
    for label, runs in frontiers.items():
        line = _best_of(points, runs)
        for run in others:
            own = points[points["run"] == run]
            heights = _heights(own, line)
            refuse_unpaired_seeds(_robust(own), heights, f'run "{run}" against the frontier "{label}"')
            outside[label, run] = sum(math.isnan(height) for height in heights.values())
            estimates[label, run] = _distance(own, line, heights, outcomes, robust_accuracy(attack))
    rows = [
        (*key, each.estimate.value, *each.interval, each.p_value, each.direction != UNDECIDED, each.estimate.num_seeds)
        for key, each in compare_family(estimates).items()
    ]
    columns = ["frontier", "run", "distance", "low", "high", "p", "is_told", "num_seeds"]
    return pd.DataFrame(rows, columns=columns).assign(num_outside=list(outside.values()))


def _robust(points: pd.DataFrame) -> dict[int, float]:
    return {int(seed): float(value) for seed, value in zip(points["seed"], points["robust_accuracy"], strict=True)}


def _distance(
    own: pd.DataFrame, line: pd.DataFrame, heights: Mapping[int, float], outcomes: Outcomes, metric: Metric
) -> Estimate:
    """Estimate how far a run lies above a line; nan if it lies beyond it with some seed."""
    distances = [robust - heights[seed] for seed, robust in _robust(own).items()]
    if any(math.isnan(distance) for distance in distances):
        return Estimate(math.nan, math.nan, math.nan, len(distances), 0)
    run = str(own["run"].iloc[0])
    values = {
        int(seed): influences(run, int(seed), place_at(float(clean), line[line["seed"] == seed]), outcomes, metric)
        for seed, clean in zip(own["seed"], own["clean_accuracy"], strict=True)
    }
    estimate = outcomes.estimate(values, f'run "{run}" against a frontier', -1)
    return replace(estimate, value=float(np.mean(distances)))


def influences(run: str, seed: int, place: Place, outcomes: Outcomes, metric: Metric) -> NDArray[np.float64]:
    """Return what each image [I] adds to a distance, whose mean is the distance itself.

    The line's height moves with the answers of the two runs it passes through, and the run along the line with its own
    clean answers. To first order (delta method) an image counts with its robust answers, and with its clean answers
    times the slope.
    """
    own, *others = (outcomes.of(name, metric)[seed] for name in (run, *place.runs))
    robust, clean = own.correct.astype(np.float64), own.clean.astype(np.float64)
    for weight, other in zip(place.weights, others, strict=True):
        if not own.is_of_same_images(other):
            raise DataError(f'expected the same test images for run "{run}" and its frontier, got others, seed {seed}')
        robust, clean = robust - weight * other.correct, clean - weight * other.clean
    values: NDArray[np.float64] = robust - place.slope * clean
    return values


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


def frontier_section(distances: pd.DataFrame, test_to_train: float | None) -> str:
    """Return the distances as a table in percentage points, and how they were found."""
    header = ["frontier", "run", "above the frontier (points)", "seeds above its range"]
    rows = [
        [
            str(row["frontier"]),
            f"`{row['run']}`",
            _distance_cell(row),
            f"{row['num_outside']} of {row['num_seeds']}",
        ]
        for row in distances.to_dict("records")
    ]
    if not rows:
        return "Grey lines: frontiers, through the mean points of the runs of one knob. Every run drawn is on one."
    level = 100 * (1 - LEFT_OUT / len(rows))
    joint = 100 * (1 - LEFT_OUT)
    return (
        f"{markdown_table(header, rows)}\n\n"
        "Grey lines: frontiers, through the mean points of the runs of one knob. The table holds each other run "
        "against the runs of the knob that no other one beats in both mean accuracies: its robust accuracy minus "
        "theirs at the same clean accuracy, by linear interpolation, for each seed on its own. Means over seeds, with "
        f"intervals at a joint {joint:g} % level (Bonferroni over {len(rows)} distances, each at {level:.4g} %). "
        f"{design_sentence(test_to_train)} `*`: Holm's step-down test tells a distance, with at least "
        f"{MIN_SEEDS_FOR_CLAIM} seeds; no star means that none can be told. A run less accurate than the whole "
        "frontier is held against its least accurate run. nan: with some seed the run is more accurate than the whole "
        "frontier, so that there is nothing to compare it with; add runs to the frontier. Each seed's distance stands "
        "in the CSV. The distances are exploratory."
    )


def _distance_cell(row: Mapping[Any, Any]) -> str:
    if math.isnan(row["distance"]):
        return "nan"
    return difference_cell(row["distance"], Interval(row["low"], row["high"]), "*" if row["is_told"] else "")
