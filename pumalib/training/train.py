"""Training: one recipe for natural, PGD and TRADES training, with per-row signed epsilons."""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from tqdm import tqdm

from pumalib.attacks.settings import ThreatSettings
from pumalib.data.images import LabelledImages
from pumalib.errors import DataError
from pumalib.randomness import derive_seed
from pumalib.training.averaging import WeightAverage
from pumalib.training.batch_norm import set_momentum
from pumalib.training.history import EpochRecord, Probe, to_frame
from pumalib.training.images import RowReader, SelectedImages, augment, to_model_input
from pumalib.training.inner_attack import InnerAttack
from pumalib.training.losses import BatchLoss, Step
from pumalib.training.optimisation import make_optimizer, make_schedule
from pumalib.training.sampling import BatchPlan, draw_batches
from pumalib.training.settings import TrainingSettings, method_module

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingRows:
    """What a training draws from.

    Attributes:
        images: uint8 [N, H, W, C] of the whole pool, an array or a pool's images.
        labels: [N] int64.
        source: [N] uint8, 0 real, 1 synthetic.
        rows: [K] int64 ascending, the selected rows.
        epsilons: [K] float32, signed radii of the selected rows, pixel scale.
        image_shape: (H, W, C).
    """

    images: RowReader
    labels: NDArray[np.int64]
    source: NDArray[np.uint8]
    rows: NDArray[np.int64]
    epsilons: NDArray[np.float32]
    image_shape: tuple[int, int, int]


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes:
        model: the averaged model, in eval mode.
        history: one line an epoch, see `history.EpochRecord`.
    """

    model: nn.Module
    history: pd.DataFrame


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
    seed: int = 0,
    device: str = "cpu",
) -> TrainingResult:
    """Train a model on images in memory.

    Args:
        model: maps float32 [B, C, H, W] in [0, 1] to logits [B, K]; trained in place.
        images: [N, H, W, C] uint8.
        labels: [N] integers.
        epsilons: [K] signed radii of the selected rows, pixel scale; None: the threat's epsilon for all.
        settings: the recipe.
        threat: norm and epsilon; the history's robust accuracy is measured at it.
        source: [N], 0 real, 1 synthetic; None: all real.
        rows: [K] ascending rows to train on; None: all.
        validation: images for the history; None: some of the training rows.
        seed: of order, augmentation and random starts (not of the initial weights).
        device: torch device.

    Returns:
        The averaged model and the history.

    Raises:
        DataError: wrong dtypes or counts, epsilons with natural training, a loss that is not finite.

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
    radii = np.full(len(kept), threat.epsilon, np.float32) if epsilons is None else np.asarray(epsilons, np.float32)
    sources = np.zeros(len(classes), np.uint8) if source is None else np.asarray(source, np.uint8)
    data = TrainingRows(pixels, classes, sources, kept, radii, (pixels.shape[1], pixels.shape[2], pixels.shape[3]))
    return train_on_rows(model, data, settings, threat, seed=seed, validation=validation, device=device)


def train_on_rows(
    model: nn.Module,
    data: TrainingRows,
    settings: TrainingSettings,
    threat: ThreatSettings,
    *,
    seed: int = 0,
    validation: LabelledImages | None = None,
    device: str = "cpu",
    description: str = "training",
) -> TrainingResult:
    """Train a model on selected rows of a pool; see `train`."""
    _check_rows(data, settings, threat)
    torch.manual_seed(derive_seed(seed, "torch"))
    trainer = _Trainer(model.to(device), data, settings, threat, seed, torch.device(device))
    probe = _make_probe(data, validation, settings, threat, torch.device(device))
    records = []
    with tqdm(total=settings.num_steps * settings.batch_size, desc=description, unit="image", disable=None) as bar:
        for epoch in range(settings.epochs):
            started = time.monotonic()
            losses = trainer.run_epoch(epoch, bar.update)
            is_measured = (epoch + 1) % settings.history_every == 0 or epoch + 1 == settings.epochs
            records.append(_record(epoch, losses, trainer, settings, probe, is_measured))
            rate = settings.steps_per_epoch * settings.batch_size / (time.monotonic() - started)
            bar.set_postfix(clean=records[-1].clean_accuracy, robust=records[-1].robust_accuracy)
            log.info("%s: %s, %.0f images/s", description, records[-1], rate)
    return TrainingResult(trainer.average.model, to_frame(records))


def _check_rows(data: TrainingRows, settings: TrainingSettings, threat: ThreatSettings) -> None:
    if data.rows.ndim != 1 or data.epsilons.shape != data.rows.shape:
        raise DataError(f"expected one epsilon for each of {data.rows.size} rows, got shape {data.epsilons.shape}")
    if data.source.shape != data.labels.shape:
        raise DataError(f"expected one source for each of {len(data.labels)} images, got shape {data.source.shape}")
    if not np.isfinite(data.epsilons).all():
        raise DataError("expected finite epsilons, got NaN or infinity")
    if len(data.rows) == 0:
        raise DataError("expected at least one selected row, got none; prune less")
    if data.rows.min() < 0 or data.rows.max() >= len(data.labels):
        raise DataError(
            f"expected selected rows in [0, {len(data.labels)}), got {data.rows.min()}..{data.rows.max()}; "
            "give the selection of these images"
        )
    if (np.diff(data.rows) <= 0).any():
        raise DataError(
            "expected selected rows in ascending order, each once, got another order; sort them, and their epsilons"
        )
    if settings.method == "natural" and not np.allclose(data.epsilons, threat.epsilon):
        raise DataError(
            "expected the default epsilon with natural training, which does not perturb; use another method"
        )


def _check_finite(losses: NDArray[np.float64], epoch: int) -> None:
    """Look at a whole epoch at once: asking the device after each step would make every step wait."""
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise DataError(
            f"expected a finite loss, got {losses[bad[0]]} in epoch {epoch + 1} at its step {bad[0] + 1} of "
            f"{len(losses)}; lower learning_rate"
        )


class _Trainer:
    """The state of one training."""

    def __init__(
        self,
        model: nn.Module,
        data: TrainingRows,
        settings: TrainingSettings,
        threat: ThreatSettings,
        seed: int,
        device: torch.device,
    ) -> None:
        self.model = model
        self.optimizer = make_optimizer(model, settings)
        self.schedule = make_schedule(self.optimizer, settings)
        self.learning_rate = float("nan")
        self.average = WeightAverage(model, settings.averaging, int(settings.averaging_warmup * settings.num_steps))
        self._settings, self._data, self._seed, self._device = settings, data, seed, device
        self._attack = InnerAttack(threat.norm, settings.inner_steps, settings.attack_step_size)
        image_bytes = int(np.prod(data.image_shape))
        self._images = SelectedImages(data.images, data.rows, image_bytes, device, settings.device_images_gib)
        self._plan = BatchPlan(settings.batch_size, settings.steps_per_epoch, settings.synthetic_fraction, seed)
        self._batch_loss: Callable[[Step], BatchLoss] = importlib.import_module(
            method_module(settings.method)
        ).batch_loss

    def run_epoch(self, epoch: int, on_images: Callable[[int], object]) -> NDArray[np.float64]:
        """Train one epoch; return the mean (total, natural, robust) loss.

        Raises:
            DataError: a loss that is not finite; found at the end of the epoch.
        """
        self.model.train()
        losses = torch.empty(self._plan.num_batches, 3, device=self._device)
        batches = draw_batches(self._plan, self._data.source, self._data.rows, epoch)
        for index, rows in enumerate(batches):
            loss = self._step(epoch * self._plan.num_batches + index, rows)
            losses[index] = torch.stack([loss.total.detach(), loss.natural, loss.robust])
            on_images(len(rows))
            if self._settings.schedule_unit == "step":
                self.schedule.step()
        if self._settings.schedule_unit == "epoch":
            self.schedule.step()
        steps: NDArray[np.float64] = losses.cpu().double().numpy()
        _check_finite(steps[:, 0], epoch)
        means: NDArray[np.float64] = steps.mean(0)
        return means

    def _step(self, step: int, rows: NDArray[np.int64]) -> BatchLoss:
        images = self._images.gather(rows)
        settings = self._settings
        images = augment(images, settings.crop_padding, settings.horizontal_flip, self._generator("augment", step))
        positions = np.searchsorted(self._data.rows, rows)
        set_momentum(self.model, step == 0)
        loss = self._batch_loss(
            Step(
                model=self.model,
                images=to_model_input(images),
                labels=torch.from_numpy(self._data.labels[rows]).to(self._device),
                epsilons=torch.from_numpy(self._data.epsilons[positions]).to(self._device),
                attack=self._attack,
                generator=self._generator("attack", step),
                label_smoothing=settings.label_smoothing,
                beta=settings.robust_weight,
            )
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])
        self.average.update(self.model, step)
        return loss

    def _generator(self, purpose: str, step: int) -> torch.Generator:
        return torch.Generator(self._device).manual_seed(derive_seed(self._seed, purpose, step))


def _make_probe(
    data: TrainingRows,
    validation: LabelledImages | None,
    settings: TrainingSettings,
    threat: ThreatSettings,
    device: torch.device,
) -> Probe:
    if validation is None:
        rows = data.rows[np.linspace(0, len(data.rows) - 1, min(settings.history_images, len(data.rows))).astype(int)]
        chosen, split = LabelledImages(data.images[rows], data.labels[rows]), "train"
    else:
        count = min(settings.history_images, len(validation))
        chosen, split = (
            validation.take(np.linspace(0, len(validation) - 1, count).astype(np.int64)),
            "validation",
        )
    images = to_model_input(torch.from_numpy(chosen.images).to(device))
    return Probe(images, torch.from_numpy(chosen.labels).to(device), threat.epsilon, threat.norm, split)


def _record(
    epoch: int,
    losses: NDArray[np.float64],
    trainer: _Trainer,
    settings: TrainingSettings,
    probe: Probe,
    is_measured: bool,
) -> EpochRecord:
    clean, robust = probe.measure(trainer.average.model) if is_measured else (float("nan"), float("nan"))
    return EpochRecord(
        epoch=epoch + 1,
        images_seen=(epoch + 1) * settings.steps_per_epoch * settings.batch_size,
        loss=float(losses[0]),
        natural_loss=float(losses[1]),
        robust_loss=float(losses[2]),
        learning_rate=trainer.learning_rate,
        clean_accuracy=clean,
        robust_accuracy=robust,
        split=probe.split,
    )
