"""Training: one recipe for natural, PGD and TRADES training, with per-row signed epsilons."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn
from tqdm import tqdm

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.arrays import as_array, as_images, as_labels, as_numbers, as_sources
from pumalib.data.images import LabelledImages, subset_rows
from pumalib.errors import ConfigError, DataError
from pumalib.jobs.memory import expect_memory
from pumalib.models.checks import check_network, in_eval_mode
from pumalib.models.inputs import to_model_input
from pumalib.models.network import Network
from pumalib.models.size import size_of
from pumalib.randomness import derive_seed
from pumalib.tracks.file import Track
from pumalib.tracks.settings import TrackSettings
from pumalib.training.batch_norm import share_statistics
from pumalib.training.checkpoints import Checkpoints, Weights, expect_validation
from pumalib.training.history import EpochRecord, Probe, make_probe, to_frame
from pumalib.training.length import num_draws, of_pool
from pumalib.training.online.settings import OnlineEpsilonSettings
from pumalib.training.online.start import starting_epsilon
from pumalib.training.recipe import IN_THIS_PROCESS, NO_TRACK, Execution, Recipe
from pumalib.training.rows import TrainingRows, check_rows
from pumalib.training.settings import RecipeSettings
from pumalib.training.summary import EpochSummary
from pumalib.training.tracker import Tracker
from pumalib.training.trainer import Trainer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes:
        model: the network with averaged weights, in eval mode.
        history: one line for each epoch: losses, accuracies in [0, 1], mean epsilon; docs/artifacts.md lists the
            columns.
        track: what was gathered about every row.
        epoch: whose weights the model has, counted from 1: the last, or with `checkpoint: best` the best.
        kept: averaged weights after the epochs of `keep_every`, by epoch.
        measured_on: the images that the accuracies of the history are measured on.
    """

    model: nn.Module
    history: pd.DataFrame
    track: Track
    epoch: int
    kept: Mapping[int, Weights]
    measured_on: Probe


@dataclass(frozen=True)
class TrainOptions:
    """What `train` takes beside images, labels, epsilons and recipe.

    Attributes:
        source: [N] integers, 0 real, 1 synthetic; None: all are real.
        rows: [K] rows to train on, ascending; None: all.
        attack_steps: [K] integers, steps of the inner attack of each row that is trained on, 0 for none; None: the
            recipe's for all. Needs `attack_statistics="running"` in the recipe.
        validation: images that the history is measured on; None: some of the training rows.
        track: what to gather about every row on the way. It changes nothing of the training.
        online: a policy that finds epsilons during training. The epsilons given are then where it starts: the caps of
            `OnlineMarginEpsilon` and `CatEpsilon`, the warm-up of `IaatEpsilon`.
        seed: of order, augmentation and random starts. Initial weights are yours: see `build_model`.
        device: a torch device, such as `cpu` or `cuda`.

    Example:
        >>> from pumalib import TrackSettings
        >>> options = TrainOptions(rows=[0, 2, 4], seed=3, track=TrackSettings(loss={"every": 5}))
        >>> options.track.loss.every
        5
    """

    source: ArrayLike | None = None
    rows: ArrayLike | None = None
    attack_steps: ArrayLike | None = None
    validation: LabelledImages | None = None
    track: TrackSettings = NO_TRACK
    online: OnlineEpsilonSettings | None = None
    seed: int = 0
    device: str = "cpu"


DEFAULT_OPTIONS = TrainOptions()

_NUM_TRIED = 16
"""How many images the network is tried on."""


def train(
    model: nn.Module,
    images: ArrayLike,
    labels: ArrayLike,
    epsilons: ArrayLike | None = None,
    *,
    settings: RecipeSettings,
    threat: ThreatSettings,
    options: TrainOptions = DEFAULT_OPTIONS,
) -> TrainingResult:
    """Train a network on images in memory.

    Args:
        model: maps float32 [B, C, H, W] in [0, 1] to logits [B, K], K classes; trained in place.
        images: [N, H, W, C] or [N, C, H, W], uint8, or floats in [0, 1] that are multiples of 1/255.
        labels: [N] integers.
        epsilons: [K] signed radii of the rows that are trained on, pixel scale; None: the threat's epsilon for all, or
            where the online policy starts.
        settings: the recipe: `TradesSettings`, `PgdAtSettings` or `NaturalSettings`.
        threat: norm and epsilon. The robust accuracy in the history is measured at it.
        options: sources, rows, validation, tracking, online policy, seed and device.

    Returns:
        The network with averaged weights, the history and what was tracked.

    Raises:
        ConfigError: settings that contradict each other or the data.
        DataError: images, labels or epsilons of another type or count, epsilons with natural training, a loss that is
            not finite, or an epoch in which every row was dropped.
        ResourceError: less memory than the training needs.

    Source: the recipe of Wang et al. 2023, which PUMA trains with; epsilons of their own for rows are PUMA's.

    Example:
        >>> import numpy as np, torch
        >>> from pumalib import ThreatSettings, TradesSettings
        >>> generator = np.random.default_rng(0)
        >>> labels = generator.integers(2, size=64)
        >>> images = (labels[:, None, None, None] * 200 + generator.integers(50, size=(64, 4, 4, 1))).astype("uint8")
        >>> _ = torch.manual_seed(0)
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
        >>> recipe = TradesSettings(epochs=32, batch_size=32)
        >>> result = train(model, images, labels, settings=recipe, threat=ThreatSettings(epsilon=0.1))
        >>> float(result.history.clean_accuracy.iloc[-1])
        1.0
    """
    recipe = Recipe(settings, threat, options.track, options.online, options.seed)
    data = _rows_in_memory(images, labels, epsilons, recipe, options)
    return train_on_rows(model, data, recipe, options.validation, Execution(options.device))


def _rows_in_memory(
    images: ArrayLike, labels: ArrayLike, epsilons: ArrayLike | None, recipe: Recipe, options: TrainOptions
) -> TrainingRows:
    pixels = as_images(images)
    classes = as_labels(labels, len(pixels))
    rows = np.arange(len(classes)) if options.rows is None else as_numbers(options.rows, "rows")
    source = np.zeros(len(classes), np.uint8) if options.source is None else as_sources(options.source, len(pixels))
    radii: NDArray[np.float32] = (
        np.full(len(rows), _first_epsilon(recipe), np.float32)
        if epsilons is None
        else as_array(epsilons, "epsilons").astype(np.float32)
    )
    steps = None if options.attack_steps is None else as_numbers(options.attack_steps, "attack_steps")
    shape = (pixels.shape[1], pixels.shape[2], pixels.shape[3])
    return TrainingRows(pixels, classes, source, rows, radii, shape, steps)


def _first_epsilon(recipe: Recipe) -> float:
    """Return the epsilon of every row where none are given."""
    epsilon = recipe.threat.epsilon
    return epsilon if recipe.online is None else starting_epsilon(recipe.online, epsilon)


def train_on_rows(
    model: nn.Module,
    data: TrainingRows,
    recipe: Recipe,
    validation: LabelledImages | None = None,
    where: Execution = IN_THIS_PROCESS,
) -> TrainingResult:
    """Train a model on selected rows of a pool, from the state of a killed job where there is one; see `train`.

    Raises:
        ConfigError: settings for another number of ranks.
        DataError: as `train`, or no validation images to choose the best epoch by.
    """
    recipe = replace(recipe, training=of_pool(recipe.training, len(data.labels)))
    _expect_ranks(recipe.training, where)
    check_rows(data, recipe)
    expect_validation(recipe.training, validation)
    device = torch.device(where.device)
    _check_network(model, data, device)
    _expect_memory(model, data, recipe.training, device)
    share_statistics(model, where.ranks, device)
    torch.manual_seed(derive_seed(recipe.seed, "torch"))
    trainer = Trainer(model.to(device), data, recipe, device, where.ranks)
    tracker = Tracker(data, recipe, device, where.ranks)
    training = _Training(trainer, tracker, [], Checkpoints(recipe.training))
    saved = where.state_file.load()
    if saved is not None:
        with where.state_file.putting_back():
            training.load_state_dict(saved)
    probe = _probe(data, recipe, validation, device)
    _run_epochs(training, recipe.training, probe, where)
    return _finished(training, probe)


def _check_network(model: nn.Module, data: TrainingRows, device: torch.device) -> None:
    """Refuse a network that cannot be trained or would be mismeasured; two passes of a few images in eval mode.

    Raises:
        DataError: not of float32, nothing to train, labels beyond its classes, or as `checks.check_network`.
    """
    wanted = [parameter.dtype for parameter in model.parameters() if parameter.requires_grad]
    if not wanted or any(dtype != torch.float32 for dtype in wanted):
        got = ", ".join(sorted({str(dtype) for dtype in wanted})) or "none"
        raise DataError(
            f"expected parameters of float32 to train, got {got}; half precision is a setting (attack_precision)"
        )
    images = to_model_input(torch.from_numpy(data.images[data.rows[:_NUM_TRIED]]).to(device))
    model.to(device)
    with in_eval_mode(model):
        num_classes = check_network(Network(model), images)
    labels = data.labels[data.rows]
    if labels.min() < 0 or labels.max() >= num_classes:
        raise DataError(
            f"expected labels in [0, {num_classes}), the classes of the network, got {labels.min()}..{labels.max()}"
        )


def _expect_memory(model: nn.Module, data: TrainingRows, settings: RecipeSettings, device: torch.device) -> None:
    """Refuse a batch for whose layers there is too little memory.

    Raises:
        ResourceError: there is.
    """
    size = -(-settings.batch_size // settings.devices)
    needed = size_of(model, data.image_shape).of_training(size, settings.outer_passes[1])
    expect_memory(device, needed, (size, data.image_shape), "lower batch_size (another result) of the training")


def _expect_ranks(settings: RecipeSettings, where: Execution) -> None:
    if settings.devices != where.ranks.count:
        raise ConfigError(
            f"expected training.devices {where.ranks.count}, as many as processes train here, got {settings.devices}; "
            "the workflow starts the processes of a training over several devices"
        )


def _probe(data: TrainingRows, recipe: Recipe, validation: LabelledImages | None, device: torch.device) -> Probe:
    """Return the images of the history: validation rows, or without them some of the rows trained on."""
    count = recipe.training.history_images
    if validation is not None:
        return make_probe(validation, count, recipe.threat, "validation", device)
    rows = data.rows[subset_rows(data.labels[data.rows], count, "probe")]
    images = LabelledImages(data.images[rows], data.labels[rows])
    return replace(make_probe(images, count, recipe.threat, "train", device), rows=rows)


@dataclass(frozen=True)
class _Training:
    """All that changes from step to step."""

    trainer: Trainer
    tracker: Tracker
    records: list[EpochRecord]
    checkpoints: Checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Return all that the steps to come and the results depend on, but data and settings."""
        records = [asdict(record) for record in self.records]
        return {
            "trainer": self.trainer.state_dict(),
            "tracker": self.tracker.state_dict(),
            "records": records,
            "checkpoints": self.checkpoints.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.trainer.load_state_dict(state["trainer"])
        self.tracker.load_state_dict(state["tracker"])
        self.records[:] = [EpochRecord(**record) for record in state["records"]]
        self.checkpoints.load_state_dict(state["checkpoints"])


def _finished(training: _Training, probe: Probe) -> TrainingResult:
    """Return the result; the model takes the weights of the best epoch where that is asked for."""
    trainer, checkpoints = training.trainer, training.checkpoints
    epoch, model = trainer.epoch, trainer.average.model
    if checkpoints.best is not None:
        epoch = checkpoints.best.epoch
        model.load_state_dict(checkpoints.best.weights)
    history, track = to_frame(training.records), training.tracker.track()
    return TrainingResult(model, history, track, epoch, checkpoints.kept, probe)


def _run_epochs(training: _Training, settings: RecipeSettings, probe: Probe, where: Execution) -> None:
    """Train the epochs that are left, with a line of the history and a look at the pool after each."""
    trainer, tracker = training.trainer, training.tracker
    total, seen = num_draws(settings), trainer.images_seen
    with tqdm(total=total, initial=seen, desc=where.description, unit="image", disable=where.ranks.is_quiet) as bar:
        while trainer.epoch < settings.epochs:
            started, seen = time.monotonic(), trainer.images_seen
            summary = trainer.run_epoch(_offer(training, where), bar.update, tracker.visit)
            is_measured = trainer.epoch % settings.history_every == 0 or trainer.epoch == settings.epochs
            record = _record(summary, trainer, probe, is_measured)
            training.records.append(record)
            training.checkpoints.end_epoch(training.records, trainer.average.model)
            rate = (trainer.images_seen - seen) / (time.monotonic() - started)
            bar.set_postfix(clean=record.clean_accuracy, robust=record.robust_accuracy)
            log.info("%s: %s, %.0f images/s", where.description, record, rate)
            tracker.end_epoch(trainer.epoch, trainer.model, trainer.average.model)


def _offer(training: _Training, where: Execution) -> Callable[[], None]:
    """Return what is called before each step: there the state can be saved."""
    return lambda: where.state_file.offer(training.state_dict)


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
