"""Joining the shards of a score. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pumalib.data.pool import read_pool_rows
from pumalib.files.artifacts import content_fingerprint, recorded_inputs
from pumalib.files.origin import NOBODY, Input, Maker
from pumalib.scores.table import ScoreTable, join_scores, read_scores, write_scores


def join_shards(
    shards: Sequence[Path],
    pool_path: Path,
    output: Path,
    settings: Mapping[str, Any],
    maker: Maker = NOBODY,
) -> None:
    """Join the shards of one score into the table of the whole pool."""
    pool = read_pool_rows(pool_path)
    table = join_scores(shards, len(pool.labels), pool.fingerprint)
    inputs = {"pool": Input(pool_path, pool.fingerprint), **_inputs(shards, table)}
    write_scores(table, output, maker.origin(settings, inputs))


def _inputs(shards: Sequence[Path], table: ScoreTable) -> dict[str, Input]:
    """Return the model that the first shard says it was looked through, as the others do, and the shards."""
    recorded = recorded_inputs(shards[0], "scores")
    inputs = {role: one for role, one in recorded.items() if role in ("model", "checkpoint")}
    for index, path in enumerate(shards):
        shard = read_scores(path)
        inputs[f"shard {index}"] = Input(path, content_fingerprint(shard.score, shard.valid))
    return inputs
