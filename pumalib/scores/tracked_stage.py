"""The tracked-score stage: a pool and what runs gathered about it in, a score table out. Imports no torch."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pumalib.data.pool import read_pool_rows
from pumalib.errors import DataError
from pumalib.files.artifacts import content_fingerprint, file_fingerprint
from pumalib.files.origin import NOBODY, Input, Maker
from pumalib.randomness import derive_seed
from pumalib.scores.settings import RandomSettings, TrackedScoreSettings, score_module
from pumalib.scores.table import ScoreTable, write_scores
from pumalib.scores.tracked import TrackEstimate, TrackQuestion
from pumalib.tracks.file import Track, read_track

log = logging.getLogger(__name__)


def score_tracks(
    settings: TrackedScoreSettings | RandomSettings,
    pool_path: Path,
    tracks: Sequence[Path],
    output: Path,
    *,
    name: str,
    seed: int,
    maker: Maker = NOBODY,
) -> None:
    """Score a pool by what runs gathered while they trained, and store it.

    Args:
        settings: the score's settings.
        pool_path: the pool file.
        tracks: track files of the runs named, in their order; none for `random`.
        output: the HDF5 file to write.
        name: of the score: two random scores of one study differ.
        seed: of the study.
        maker: the job.

    Raises:
        DataError: a track without the quantity or the epochs asked for, or values that are not finite.
        ArtifactError: a damaged pool or track, or a track of another pool.
    """
    pool = read_pool_rows(pool_path)
    question = TrackQuestion(_read(settings, tracks, pool.fingerprint), len(pool.labels), derive_seed(seed, name))
    estimate: TrackEstimate = importlib.import_module(score_module(settings)).score(question, settings)
    inputs = {f"track {index}": Input(path, file_fingerprint(path)) for index, path in enumerate(tracks)}
    fingerprint = content_fingerprint(*[track.fingerprint for track in inputs.values()]) if tracks else ""
    table = _table(estimate, settings.method, pool.fingerprint, fingerprint)
    inputs |= {"pool": Input(pool_path, pool.fingerprint), "model": Input(None, fingerprint)}
    write_scores(table, output, maker.origin(settings.model_dump(), inputs))


def _read(
    settings: TrackedScoreSettings | RandomSettings, tracks: Sequence[Path], pool_fingerprint: str
) -> list[Track]:
    if isinstance(settings, RandomSettings):
        return []
    return [read_track(path, pool_fingerprint, settings.quantities) for path in tracks]


def _table(estimate: TrackEstimate, method: str, pool_fingerprint: str, tracks_fingerprint: str) -> ScoreTable:
    valid = np.ones(len(estimate.score), bool) if estimate.valid is None else estimate.valid
    is_bad = valid & ~np.isfinite(estimate.score)
    if is_bad.any():
        raise DataError(
            f"expected finite {method} scores, got {estimate.score[is_bad][0]} for {is_bad.sum()} of {len(valid)} "
            "rows; lower the learning_rate of the tracked runs"
        )
    if not valid.all():
        log.warning("%d of %d rows were never visited: they have no score", (~valid).sum(), len(valid))
    return ScoreTable(
        score=np.where(valid, estimate.score, np.nan).astype(np.float32),
        valid=valid,
        higher_is="harder",
        unit=estimate.unit,
        method=method,
        pool_fingerprint=pool_fingerprint,
        model_fingerprint=tracks_fingerprint,
        columns=estimate.columns,
    )
