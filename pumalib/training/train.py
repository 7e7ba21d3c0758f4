"""Training: one recipe for natural, PGD and TRADES training, with per-row signed epsilons."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import nn
from tqdm import tqdm

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.images import LabelledImages
from pumalib.errors import ConfigError, DataError
from pumalib.jobs.states import NO_STATE, StateFile
from pumalib.randomness import derive_seed
from pumalib.ranks import ALONE, Ranks
from pumalib.selection.policies import row_epsilons
from pumalib.selection.settings import FixedEpsilon, OnlineEpsilonSettings
from pumalib.tracks.file import Track
from pumalib.tracks.settings import TrackSettings
from pumalib.training.batch_norm import share_statistics
from pumalib.training.history import EpochRecord, Probe, make_probe, to_frame
from pumalib.training.settings import TrainingSettings
from pumalib.training.summary import EpochSummary
from pumalib.training.tracker import Tracker
from pumalib.training.trainer import Trainer, TrainingRows, check_rows

log = logging.getLogger(__name__)

NO_TRACK = TrackSettings()


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes:
        model: the averaged model, in eval mode.
        history: one line an epoch, see `history.EpochRecord`.
        track: what was gathered about every row.
    """

    model: nn.Module
    history: pd.DataFrame
    track: Track


def train(
    model: nn.Module,
    images: ArrayLike,
    labels: ArrayLike,
    epsilons: ArrayLike | None = None,
    *,
    settings: TrainingSettings,
    threat: ThreatSettings,
    source: ArrayLike | None = None,
    rows: ArrayLike | None = None,
    validation: LabelledImages | None = None,
    track: TrackSettings = NO_TRACK,
    seed: int = 0,
    device: str = "cpu",
    online: OnlineEpsilonSettings | None = None,
) -> TrainingResult:
    """Train a model on images in memory.

    Args:
        model: maps float32 [B, C, H, W] in [0, 1] to logits [B, K]; trained in place.
        images: [N, H, W, C] uint8.
        labels: [N] integers.
        epsilons: [K] signed radii of the selected rows, pixel scale; None: the threat's epsilon for all, or where
            the online policy starts.
        settings: the recipe.
        threat: norm and epsilon; the history's robust accuracy is measured at it.
        source: [N], 0 real, 1 synthetic; None: all real.
        rows: [K] ascending rows to train on; None: all.
        validation: images for the history; None: some of the training rows.
        track: what to gather about every row on the way; changes nothing of the training.
        seed: of order, augmentation and random starts (not of the initial weights).
        device: torch device.
        online: a policy that finds epsilons during training; `epsilons` are then where it starts: the caps of
            `online_margin`, the warm-up of `iaat`.

    Returns:
        The averaged model, the history and the track.

    Raises:
        DataError: wrong dtypes or counts, epsilons with natural training, a loss that is not finite, an epoch in
            which every row was dropped.

    Example:
        >>> import numpy as np, torch
        >>> generator = np.random.default_rng(0)
        >>> labels = generator.integers(2, size=64)
        >>> images = (labels[:, None, None, None] * 200 + generator.integers(50, size=(64, 4, 4, 1))).astype("uint8")
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
        >>> recipe = TrainingSettings(epochs=16, samples_per_epoch=128, batch_size=32, crop_padding=0)
        >>> result = train(model, images, labels, settings=recipe, threat=ThreatSettings(epsilon=0.1))
        >>> float(result.history.clean_accuracy.iloc[-1])
        1.0
    """
    pixels, classes = np.asarray(images), np.asarray(labels, np.int64)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or len(pixels) != len(classes):
        raise DataError(
            f"expected images as uint8 [N, H, W, C] and one label each, got {pixels.dtype} {pixels.shape}, "
            f"{len(classes)} labels"
        )
    kept = np.arange(len(classes)) if rows is None else np.asarray(rows, np.int64)
    policy = FixedEpsilon() if online is None else online
    given = row_epsilons(policy, {}, len(kept), threat.epsilon, threat.norm) if epsilons is None else epsilons
    radii = np.asarray(given, np.float32)
    sources = np.zeros(len(classes), np.uint8) if source is None else np.asarray(source, np.uint8)
    data = TrainingRows(pixels, classes, sources, kept, radii, (pixels.shape[1], pixels.shape[2], pixels.shape[3]))
    return train_on_rows(
        model,
        data,
        settings,
        threat,
        track=track,
        seed=seed,
        validation=validation,
        device=device,
        online=online,
    )


def train_on_rows(
    model: nn.Module,
    data: TrainingRows,
    settings: TrainingSettings,
    threat: ThreatSettings,
    *,
    track: TrackSettings = NO_TRACK,
    seed: int = 0,
    validation: LabelledImages | None = None,
    device: str = "cpu",
    description: str = "training",
    online: OnlineEpsilonSettings | None = None,
    state: StateFile = NO_STATE,
    ranks: Ranks = ALONE,
) -> TrainingResult:
    """Train a model on selected rows of a pool, from the state of a killed job where there is one; see `train`.

    Raises:
        ConfigError: settings for another number of ranks.
    """
    if settings.devices != ranks.count:
        raise ConfigError(
            f"expected training.devices {ranks.count}, as many as processes train here, got {settings.devices}; "
            "the workflow starts the processes of a training over several devices"
        )
    check_rows(data, settings, threat, online)
    share_statistics(model, ranks)
    torch.manual_seed(derive_seed(seed, "torch"))
    trainer = Trainer(model.to(device), data, settings, threat, seed, torch.device(device), online, ranks)
    tracker = Tracker(track, data, settings, threat, seed, torch.device(device), ranks)
    probe = make_probe(
        _some_rows(data, settings.history_images) if validation is None else validation,
        settings.history_images,
        threat,
        "train" if validation is None else "validation",
        torch.device(device),
    )
    training = _Training(trainer, tracker, [])
    saved = state.load()
    if saved is not None:
        training.load_state_dict(saved)
    total = settings.num_steps * settings.batch_size
    seen = trainer.images_seen
    with tqdm(total=total, initial=seen, desc=description, unit="image", disable=ranks.is_quiet) as bar:
        while trainer.epoch < settings.epochs:
            started, seen = time.monotonic(), trainer.images_seen
            summary = trainer.run_epoch(lambda: state.offer(training.state_dict), bar.update, tracker.visit)
            is_measured = trainer.epoch % settings.history_every == 0 or trainer.epoch == settings.epochs
            record = _record(summary, trainer, probe, is_measured)
            training.records.append(record)
            rate = (trainer.images_seen - seen) / (time.monotonic() - started)
            bar.set_postfix(clean=record.clean_accuracy, robust=record.robust_accuracy)
            log.info("%s: %s, %.0f images/s", description, record, rate)
            tracker.end_epoch(trainer.epoch, trainer.model, trainer.average.model)
    return TrainingResult(trainer.average.model, to_frame(training.records), tracker.track())


@dataclass(frozen=True)
class _Training:
    """All that changes from step to step."""

    trainer: Trainer
    tracker: Tracker
    records: list[EpochRecord]

    def state_dict(self) -> dict[str, Any]:
        """Return all that the steps to come and the results depend on, but data and settings."""
        records = [asdict(record) for record in self.records]
        return {"trainer": self.trainer.state_dict(), "tracker": self.tracker.state_dict(), "records": records}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.trainer.load_state_dict(state["trainer"])
        self.tracker.load_state_dict(state["tracker"])
        self.records[:] = [EpochRecord(**record) for record in state["records"]]


def _some_rows(data: TrainingRows, count: int) -> LabelledImages:
    """Return some of the selected rows, evenly spread, for the history of a dataset without validation rows."""
    rows = data.rows[np.linspace(0, len(data.rows) - 1, min(count, len(data.rows))).astype(int)]
    return LabelledImages(data.images[rows], data.labels[rows])


def _record(summary: EpochSummary, trainer: Trainer, probe: Probe, is_measured: bool) -> EpochRecord:
    clean, robust = probe.measure(trainer.average.model) if is_measured else (float("nan"), float("nan"))
    return EpochRecord(
        epoch=trainer.epoch,
        images_seen=trainer.images_seen,
        loss=summary.total,
        natural_loss=summary.natural,
        robust_loss=summary.robust,
        learning_rate=trainer.learning_rate,
        clean_accuracy=clean,
        robust_accuracy=robust,
        split=probe.split,
        mean_epsilon=summary.mean_epsilon,
        num_dropped=summary.num_dropped,
    )
