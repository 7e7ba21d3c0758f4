"""A leaderboard as JSON, for other programs; docs/robust-pruning.md says what each key is."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

FORMAT: Literal["puma-leaderboard-1"] = "puma-leaderboard-1"
"""Changes where a key changes its meaning or goes; a new key alone changes nothing."""

Share = float
"""Of the test images, in [0, 1]; a difference in [-1, 1]."""


class Difference(BaseModel):
    """How much better than random rows a method is, paired by seed and test image."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    value: Share
    """Mean over seeds."""
    interval: tuple[Share, Share] | None
    """Holds jointly with the others of its group at 95 %; null: fewer than 3 seeds."""
    p: float | None
    """Of Holm's test in its group; null: fewer than 3 seeds."""
    told: Literal["higher", "lower", "cannot be told"]
    """Whether the test tells a difference; with fewer than 5 seeds none is."""


class Standing(BaseModel):
    """One method on one dataset, under one way to train, at one share of kept rows."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    panel: str
    """Label of the panel in the study."""
    dataset: str
    """Name of the dataset in the study."""
    training: str
    """Method of training."""
    kept: int = Field(ge=1, le=100)
    """Per cent of the rows that are kept; 100: all."""
    rows: float
    """How many rows that are, mean over seeds."""
    method: str
    """Name of the method in the study."""
    run: str
    """Name of the run in the study."""
    metric: Literal["clean_accuracy", "robust_accuracy"]
    """What the rank is by."""
    rank: int = Field(ge=1)
    """One more than the number of methods of the group that are told to be better."""
    mean: Share
    """Of the metric, over seeds."""
    sd: float | None
    """Standard deviation over seeds (n - 1); null: one seed."""
    seeds: int
    """How many."""
    images: int
    """Test images with each seed, the fewest."""
    difference: Difference | None
    """To random rows; null: these are the random rows."""
    clean_accuracy: Share
    """Mean over seeds."""
    robust_accuracy: Share
    """Mean over seeds, under the attack."""
    attack: str
    """Name of the attack in the study."""
    training_passes: float | None
    """Images through the network, forward and backward, over a training; null: unknown."""
    passes: float | None
    """The same with models and scores that the run stands on; null: unknown."""
    command: str
    """Makes the numbers anew; `STUDY` stands for the study file."""


class Leaderboard(BaseModel):
    """All standings of a study."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    format: Literal["puma-leaderboard-1"]
    """Which form this is."""
    study: str
    """Name of the study."""
    fingerprint: str
    """SHA-256 of every model's answers to every test image: equal ones are the same results."""
    standings: list[Standing]
    """Groups in order; in each the best rank first."""


def leaderboard_record(
    table: pd.DataFrame, study: str, fingerprint: str, targets: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return a leaderboard in plain words.

    Args:
        table: of `leaderboard_table`.
        study: its name.
        fingerprint: of its results.
        targets: files of each run that hold its numbers.
    """
    standings = [_standing(row, targets[str(row["run"])]) for row in table.to_dict("records")]
    board = Leaderboard(format=FORMAT, study=study, fingerprint=fingerprint, standings=standings)
    return board.model_dump(mode="json")


def _standing(row: Mapping[Any, Any], targets: Sequence[str]) -> Standing:
    same = ("panel", "dataset", "training", "kept", "method", "run", "metric", "rank", "mean", "attack")
    return Standing(
        **{name: row[name] for name in (*same, "clean_accuracy", "robust_accuracy")},
        **{name: _known(row[name]) for name in ("sd", "training_passes", "passes")},
        rows=row["num_kept"],
        seeds=row["num_seeds"],
        images=row["num_samples"],
        difference=_difference(row) if row["told"] else None,
        command=f"puma run STUDY -- {shlex.join(targets)}",
    )


def _difference(row: Mapping[Any, Any]) -> Difference:
    low, high = row["minus_random_low"], row["minus_random_high"]
    return Difference(
        value=row["minus_random"],
        interval=None if math.isnan(low) else (low, high),
        p=_known(row["minus_random_p"]),
        told=row["told"],
    )


def _known(number: float) -> float | None:
    return None if math.isnan(number) else float(number)
