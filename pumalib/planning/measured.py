"""Passes that were counted in score tables which a study has already."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

from pumalib.errors import ArtifactError
from pumalib.reporting.cost_passes import margin_passes
from pumalib.scores.settings import MarginSettings
from pumalib.scores.table import read_scores
from pumalib.study.study import Study


def counted_score_passes(study: Study, results: Path) -> dict[str, float]:
    """Return the mean passes of a row under each score of margins of which a table is there.

    Args:
        study: the study.
        results: folder of its results.
    """
    scores = study.settings.scores.items()
    found = {name: _passes(results, name) for name, settings in scores if isinstance(settings, MarginSettings)}
    return {name: fmean(passes) for name, passes in found.items() if passes}


def _passes(results: Path, score: str) -> list[float]:
    """Return the mean passes of a row in each table that can be read; one that cannot is made again anyway."""
    found = []
    for path in sorted((results / "scores" / score).glob("seed*.h5")):
        try:
            table = read_scores(path)
            passes = margin_passes(table)
        except ArtifactError:
            continue
        found.append((passes.forward + passes.backward) / len(table.score))
    return found
