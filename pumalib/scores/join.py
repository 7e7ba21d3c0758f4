"""Joining the shards of a score. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pumalib.data.pool import read_pool_rows
from pumalib.scores.table import join_scores, write_scores


def join_shards(
    shards: Sequence[Path],
    pool_path: Path,
    output: Path,
    settings: Mapping[str, Any],
    code: Mapping[str, str] | None = None,
) -> None:
    """Join the shards of one score into the table of the whole pool."""
    pool = read_pool_rows(pool_path)
    write_scores(join_scores(shards, len(pool.labels), pool.fingerprint), output, settings, code)
