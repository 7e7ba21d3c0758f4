"""The score stage: a pool and a model in, a score table out, shard by shard."""

from __future__ import annotations

import importlib
import logging
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pumalib.attacks.inputs import images_a_batch
from pumalib.attacks.threat_settings import Norm
from pumalib.data.pool import Pool, open_pool
from pumalib.errors import DataError
from pumalib.files.origin import NOBODY, Input, Maker
from pumalib.jobs.devices import enough_memory
from pumalib.jobs.kept import KeptResult
from pumalib.jobs.memory import expect_memory
from pumalib.jobs.states import StateFile, StatePlace, at_least_every, state_key
from pumalib.models.imported import load_imported
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.size import size_of
from pumalib.models.trained import TrainedModel, expect_images, load_trained
from pumalib.scores.estimates import Estimate
from pumalib.scores.settings import (
    EXTRAPOLATED_MODULE,
    FeatureScoreSettings,
    LookingScoreSettings,
    ModelReference,
    score_module,
)
from pumalib.scores.table import ScoreTable, write_scores
from pumalib.scores.walk import Walk

log = logging.getLogger(__name__)


def score_shard(
    settings: LookingScoreSettings,
    pool_path: Path,
    model_path: Path,
    output: Path,
    *,
    shard: int,
    threat_norm: Norm,
    device: str,
    architecture: ArchitectureSettings | None = None,
    state_place: StatePlace | None = None,
    maker: Maker = NOBODY,
) -> None:
    """Score one shard of a pool and store it; go on from the state of a killed job where there is one.

    Args:
        settings: the score's settings; `shards` says how many there are.
        pool_path: the pool file.
        model_path: the weights looked through.
        output: the HDF5 file to write.
        shard: number of the shard, from 0.
        threat_norm: norm of margins unless the settings say otherwise.
        device: torch device.
        architecture: of the run looked through; None: as the weights say, unless they name a user's own code.
        state_place: where to keep the state until the shard is written; None: a kill loses everything.
        maker: the job.

    Raises:
        DataError: more shards than rows, images the model was not made for, scores that break the form, or margins that
            do not follow from a share of them.
        ArtifactError: a damaged pool or model.
        ConfigError: a custom score whose function is not there, or settings that contradict a checkpoint.
    """
    pool = open_pool(pool_path)
    trained = _load_model(settings.model, model_path, pool, device, architecture)
    expect_images(trained, pool.image_shape, len(pool.class_names), pool_path)
    if not 0 <= shard < settings.shards <= len(pool):
        raise DataError(
            f"expected a shard in [0, {settings.shards}) and at most one shard for each of {len(pool)} rows, "
            f"got shard {shard} of {settings.shards} for {pool_path}; lower shards"
        )
    first, last = (len(pool) * edge // settings.shards for edge in (shard, shard + 1))
    role = "model" if settings.model.checkpoint is None else "checkpoint"
    inputs = {"pool": Input(pool_path, pool.fingerprint), role: Input(model_path, trained.fingerprint)}
    origin = maker.origin(settings.model_dump(), inputs)
    facts = {"settings": origin.settings, "shard": shard, "norm": threat_norm, "device": device}
    key = state_key(**facts, inputs=origin.inputs_seen_from(output), code=dict(maker.code))
    state_file, kept = StateFile(at_least_every(state_place, 60), key), KeptResult(state_place, key, [output])
    if kept.take_back():
        return
    size, advice = images_a_batch(settings.batch_size, pool.image_shape), "lower batch_size of the score"
    with enough_memory(device, advice):
        needed = size_of(trained.model, pool.image_shape).of_attack(min(size, last - first))
        expect_memory(device, needed, (size, pool.image_shape), advice)
        walk = Walk(settings, pool, trained, threat_norm, device, state_file, last - first)
        estimate = _score_rows(walk, settings, np.arange(first, last))
    table = _table(estimate, settings.method, pool, trained, first)
    if table.cut_short.any():
        log.warning("%d of %d rows did not converge: their margin is a bound", table.cut_short.sum(), last - first)
    if table.bounded.any():
        log.info("%d of %d margins are bounds at up_to, as asked for", table.bounded.sum(), last - first)
    write_scores(table, output, origin)
    kept.keep()
    state_file.remove()


def _load_model(
    reference: ModelReference, path: Path, pool: Pool, device: str, architecture: ArchitectureSettings | None
) -> TrainedModel:
    """Load a model of this library or, where the study names its architecture, one from elsewhere."""
    if reference.architecture is None:
        return load_trained(path, device, architecture)
    return load_imported(path, reference.architecture, pool.image_shape, pool.class_names, reference.weights, device)


def _score_rows(walk: Walk, settings: LookingScoreSettings, rows: NDArray[np.int64]) -> Estimate:
    """Score rows of the pool: each of them, a share from which the others follow, or all of them together."""
    module = importlib.import_module(score_module(settings))
    if isinstance(settings, FeatureScoreSettings):  # then there is one shard, as the settings see to
        return cast(Estimate, module.score(walk, settings))
    measure = partial(module.score, settings=settings)
    extrapolate = getattr(settings, "extrapolate", None)
    if extrapolate is not None:  # then there is one shard as well
        return cast(Estimate, importlib.import_module(EXTRAPOLATED_MODULE).score_pool(walk, extrapolate, measure))
    walk.through(rows, measure)
    return walk.found()


def _table(estimate: Estimate, method: str, pool: Pool, trained: TrainedModel, first_row: int) -> ScoreTable:
    return ScoreTable(
        score=estimate.score,
        valid=np.ones(len(estimate.score), bool),
        higher_is="easier" if estimate.higher_is == "easier" else "harder",
        unit=estimate.unit,
        method=method,
        norm=estimate.norm,
        pool_fingerprint=pool.fingerprint,
        model_fingerprint=trained.fingerprint,
        first_row=first_row,
        columns=estimate.columns,
        **estimate.facts,
    )
