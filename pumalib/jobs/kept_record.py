"""What is recorded of a kept result. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORD = "record.json"
SCHEMA = "puma.kept.1"
_BENCHMARKS = [("benchmarks", kind) for kind in ("models", "scores", "learned", "attacks")]
"""How the part of a benchmark's path begins that lies in the results folder; a run may be called benchmarks too."""


def read_record(folder: Path) -> dict[str, Any]:
    """Read the record of a kept result; empty: there is none that can be read."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    is_ours = isinstance(record, dict) and record.get("schema") == SCHEMA
    return record if is_ours else {}


def seconds_of_work(benchmark: str | Path) -> float | None:
    """Return the seconds that a job's result took where its last run took it back; None: the benchmark has them.

    Args:
        benchmark: the job's benchmark file, `<results>/benchmarks/<job>.tsv`.
    """
    path = Path(benchmark)
    place = next((place for place in range(len(path.parts)) if path.parts[place:][:2] in _BENCHMARKS), None)
    if place is None:
        return None
    results, below = Path(*path.parts[:place]), Path(*path.parts[place + 1 :])
    record = read_record(results / "work" / below.with_suffix(".kept"))
    return float(record["seconds"]) if record.get("was_taken_back") else None
