"""Joining the shards of a score. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pumalib.data.pool import read_pool_rows
from pumalib.files.artifacts import content_fingerprint, recorded_inputs
from pumalib.files.origin import NOBODY, Input, Maker
from pumalib.scores.table import join_scores, read_scores, write_scores


def join_shards(
    shards: Sequence[Path],
    pool_path: Path,
    output: Path,
    settings: Mapping[str, Any],
    maker: Maker = NOBODY,
) -> None:
    """Join the shards of one score into the table of the whole pool.

    The model is the one that the first shard says it was looked through, as the others do.
    """
    pool = read_pool_rows(pool_path)
    tables = {path: read_scores(path, pool.fingerprint) for path in shards}
    joined = join_scores(tables, len(pool.labels))
    recorded = recorded_inputs(shards[0], "scores")
    inputs = {"pool": Input(pool_path, pool.fingerprint)}
    inputs |= {role: one for role, one in recorded.items() if role in ("model", "checkpoint")}
    for index, (path, table) in enumerate(tables.items()):
        inputs[f"shard {index}"] = Input(path, content_fingerprint(table.score, table.valid))
    write_scores(joined, output, maker.origin(settings, inputs))
