"""What runs cost: rows, draws, attack steps and passes through networks, with all that they depend on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter

from pumalib.data.pool import read_pool_rows
from pumalib.data.selection import read_selection
from pumalib.data.settings import GeneratedSyntheticSettings
from pumalib.errors import ArtifactError
from pumalib.jobs.kept_record import seconds_of_work
from pumalib.learning.passes import learning_passes
from pumalib.learning.settings import LearnedSettings
from pumalib.reporting.cost_passes import (
    UNKNOWN,
    Passes,
    counts_passes,
    margin_passes,
    mean_attack_steps,
    tracking_passes,
    training_passes,
)
from pumalib.reporting.histories import draws_made
from pumalib.reporting.settings.cost import EVALUATION, GENERATION, LEARNED_POOL, SCORE, CostPart
from pumalib.scores.settings import FeatureScoreSettings, ScoreSettings, looks_through_a_model
from pumalib.scores.table import read_scores
from pumalib.synthesis.passes import generator_passes, sampling_passes
from pumalib.synthesis.settings import EdmSettings
from pumalib.tracks.settings import TrackSettings
from pumalib.training.length import num_draws, of_pool
from pumalib.training.online.settings import read_online
from pumalib.training.settings import read_training

WHOLE = "whole"
"""The part that is the sum of all but the evaluation."""

_AMOUNTS = ("rows", "draws", "attack_steps", "forward_passes", "backward_passes", "seconds")


def cost_table(parts: Sequence[CostPart]) -> pd.DataFrame:
    """Return a row per run and part, means over seeds; the last of each run is its `whole`.

    A run may stand on a part with several seeds, such as a model of one seed that gives the margins of all: the part is
    then their sum.

    Columns: run, part, name, rows (kept by a training, scored by a score), draws, attack_steps (a draw),
    forward_passes and backward_passes (images), seconds, seconds_sd (n - 1), num_seeds. nan: not known, not asked for,
    or meaningless; a whole with an unknown part is unknown.

    Raises:
        ArtifactError: If a file is missing, damaged or of another pool.
    """
    table = pd.DataFrame([_measure(part) for part in parts])
    keys = ["run", "part", "name"]
    whole = table[table["part"] != EVALUATION].groupby(["run", "seed"], sort=False)
    sums = whole[["forward_passes", "backward_passes", "seconds"]].agg(_sum_of_known).reset_index()
    table = pd.concat([table, sums.assign(part=WHOLE, name="")], ignore_index=True)
    of_seeds = table.groupby([*keys, "seed"], sort=False, as_index=False).agg(_OF_ONE_SEED)
    groups = of_seeds.groupby(keys, sort=False)
    means = groups[list(_AMOUNTS)].mean()
    means["seconds_sd"], means["num_seeds"] = groups["seconds"].std(), groups["seed"].nunique()
    order = {run: place for place, run in enumerate(dict.fromkeys(table["run"]))}
    return means.reset_index().sort_values("run", key=lambda runs: runs.map(order), kind="stable", ignore_index=True)


def _sum_of_known(values: pd.Series[float]) -> float:
    """Return the sum; nan where any part is."""
    return float(values.sum(skipna=False))


_OF_ONE_SEED: dict[str, Any] = {
    name: "mean" if name in ("rows", "attack_steps") else _sum_of_known for name in _AMOUNTS
}
"""How the amounts of a part that a run of one seed stands on several times become one."""


def _measure(part: CostPart) -> dict[str, Any]:
    """Return one row for one seed."""
    row: dict[str, Any] = {"run": part.run, "seed": part.seed, "part": part.kind, "name": part.name}
    row |= dict.fromkeys(_AMOUNTS, math.nan)
    row["seconds"] = sum(map(read_seconds, part.benchmarks)) if part.benchmarks else math.nan
    if part.kind == GENERATION:
        return row | _columns(_generation_passes(part))
    if part.kind == LEARNED_POOL:
        return row | _columns(_learning_passes(part))
    if part.settings is None or part.file is None:
        return row
    row |= _score_amounts(part) if part.kind == SCORE else _training_amounts(part)
    return row


def _training_amounts(part: CostPart) -> dict[str, float]:
    selection = read_selection(str(part.file))
    training = of_pool(read_training(part.settings or {}), len(selection.reason))
    draws = num_draws(training) if part.history is None else draws_made(Path(part.history))
    steps = mean_attack_steps(training, selection.mean_attack_steps)
    passes = training_passes(training, part.outer_passes, read_online(part.online), selection.mean_attack_steps)
    share = draws / num_draws(training)  # of the draws that are planned; other than 1 without an online policy alone
    return {
        "rows": len(selection.rows),
        "draws": draws,
        "attack_steps": steps,
        **_columns(Passes(share * passes.forward, share * passes.backward)),
    }


def _score_amounts(part: CostPart) -> dict[str, float]:
    settings = TypeAdapter(ScoreSettings).validate_python(part.settings)
    pool = read_pool_rows(str(part.pool))
    table = read_scores(str(part.file), pool.fingerprint)
    if not counts_passes(settings):
        passes = UNKNOWN
    elif isinstance(settings, FeatureScoreSettings):
        passes = Passes(len(table.score), 0)
    elif looks_through_a_model(settings):
        passes = margin_passes(table)
    else:
        passes = _passes_of_gathering(part, len(table.score))
    return {"rows": len(table.score), **_columns(passes)}


def _learning_passes(part: CostPart) -> Passes:
    settings: LearnedSettings = TypeAdapter(LearnedSettings).validate_python(part.settings)
    return Passes(*learning_passes(settings, len(read_pool_rows(str(part.pool)).labels)))


def _generation_passes(part: CostPart) -> Passes:
    """Return the passes of training a generator, or of drawing its samples."""
    if part.settings is None:
        return UNKNOWN
    settings = EdmSettings.model_validate(part.settings)
    if part.synthetic is None:
        return Passes(*generator_passes(settings))
    return Passes(*sampling_passes(settings, GeneratedSyntheticSettings.model_validate(part.synthetic)))


def _passes_of_gathering(part: CostPart, num_rows: int) -> Passes:
    """Return the passes that the runs behind a score of tracks added to their trainings; none for a random score."""
    forward = backward = 0.0
    for run in part.gathered:
        training, already = read_training(run["training"]), run.get("already", {})
        before, after = (
            tracking_passes(TrackSettings.model_validate(track), training, num_rows)
            for track in (already, already | run["track"])
        )
        forward, backward = forward + after.forward - before.forward, backward + after.backward - before.backward
    return Passes(forward, backward)


def _columns(passes: Passes) -> dict[str, float]:
    return {"forward_passes": passes.forward, "backward_passes": passes.backward}


def read_seconds(path: str | Path) -> float:
    """Read the seconds of one job from a benchmark file of Snakemake, or of the work whose result it took back.

    Raises:
        ArtifactError: If it holds no seconds.
    """
    worked = seconds_of_work(path)
    if worked is not None:
        return worked
    try:
        return float(pd.read_csv(path, sep="\t")["s"].iloc[0])
    except (KeyError, IndexError, ValueError, OSError):
        raise ArtifactError(
            f"expected seconds in the column s, found none in {path}; delete it and run again"
        ) from None
