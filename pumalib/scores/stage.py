"""The score stage: a pool and a model in, a score table out, shard by shard."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from pumalib.attacks.inputs import images_a_batch
from pumalib.attacks.threat_settings import Norm
from pumalib.data.pool import Pool, open_pool
from pumalib.errors import DataError
from pumalib.files.origin import NOBODY, Input, Maker
from pumalib.jobs.devices import enough_memory
from pumalib.jobs.kept import KeptResult
from pumalib.jobs.states import StateFile, StatePlace, at_least_every, state_key
from pumalib.models.imported import load_imported
from pumalib.models.inputs import to_model_input
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import TrainedModel, expect_images, load_trained
from pumalib.scores.estimates import Estimate, Question
from pumalib.scores.settings import LookingScoreSettings, ModelReference, score_module
from pumalib.scores.table import ScoreTable, write_scores

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
        DataError: more shards than rows, images the model was not made for, or scores that break the form.
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
    with enough_memory(device, "lower batch_size of the score"):
        estimates = _score_rows(settings, pool, trained, np.arange(first, last), threat_norm, device, state_file)
    table = _join(estimates, settings.method, pool.fingerprint, trained.fingerprint, first)
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


def _score_rows(
    settings: LookingScoreSettings,
    pool: Pool,
    trained: TrainedModel,
    rows: NDArray[np.int64],
    threat_norm: Norm,
    device: str,
    state_file: StateFile,
) -> list[Estimate]:
    method = importlib.import_module(score_module(settings))
    saved = state_file.load() or {"estimates": []}
    with state_file.putting_back():
        estimates = [Estimate.from_state_dict(estimate) for estimate in saved["estimates"]]
        done = _rows_done(estimates, len(rows))

    def state_dict() -> dict[str, Any]:
        return {"estimates": [estimate.state_dict() for estimate in estimates]}

    description = f"scoring ({settings.method})"
    with tqdm(total=len(rows), initial=done, desc=description, unit="image", disable=None) as bar:
        size = images_a_batch(settings.batch_size, pool.image_shape)
        for start in range(done, len(rows), size):
            state_file.offer(state_dict)
            taken = rows[start : start + size]
            images = to_model_input(torch.from_numpy(pool.images[taken]).to(device))
            labels = torch.from_numpy(pool.labels[taken]).to(device)
            estimates.append(method.score(Question(trained.model, images, labels, threat_norm), settings))
            bar.update(len(taken))
    return estimates


def _rows_done(estimates: Sequence[Estimate], num_rows: int) -> int:
    """Return how many rows a saved state has; a ValueError if it cannot be one of this shard."""
    done = sum(len(estimate.score) for estimate in estimates)
    names = {(estimate.higher_is, estimate.unit, estimate.norm, tuple(estimate.columns)) for estimate in estimates}
    lengths = {len(column) - len(estimate.score) for estimate in estimates for column in estimate.columns.values()}
    if done > num_rows or len(names) > 1 or lengths - {0}:
        raise ValueError(f"expected blocks of one form, {num_rows} rows at most, got {done} rows")
    return done


def _join(
    estimates: Sequence[Estimate], method: str, pool_fingerprint: str, model_fingerprint: str, first_row: int
) -> ScoreTable:
    first = estimates[0]
    score = np.concatenate([estimate.score for estimate in estimates])
    return ScoreTable(
        score=score,
        valid=np.ones(len(score), bool),
        higher_is="easier" if first.higher_is == "easier" else "harder",
        unit=first.unit,
        method=method,
        norm=first.norm,
        pool_fingerprint=pool_fingerprint,
        model_fingerprint=model_fingerprint,
        first_row=first_row,
        columns={name: np.concatenate([estimate.columns[name] for estimate in estimates]) for name in first.columns},
    )
