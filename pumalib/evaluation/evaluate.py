"""Evaluating a model: one row an image, from which every accuracy is read as an exact sample mean."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from tqdm import tqdm

from pumalib.attacks.batch import Ball, Batch, Found
from pumalib.attacks.inputs import check_inputs, model_device
from pumalib.attacks.projection import norms
from pumalib.attacks.settings import (
    AttackSettings,
    CleanSettings,
    CwPgdSettings,
    MinimumNormSettings,
    attack_module,
)
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.models.checks import frozen_parameters
from pumalib.models.folding import Folding

_TOLERANCE = 1e-5


@dataclass(frozen=True)
class EvaluationTable:
    """One row an image.

    Attributes:
        label: [N] int64.
        clean_prediction: [N] int64.
        adversarial_prediction: [N] int64; the clean prediction where that is wrong already.
        perturbation_norm: [N] float32, norm of the perturbation behind `adversarial_prediction`, pixel scale; 0
            where the clean prediction is wrong already. With `minimum_norm`, of the shortest perturbation found,
            longer than epsilon or not, and inf where none was found; with `autoattack`, 0 where none was found.
        success: [N] bool, rightly classified when clean and fooled by the attack.
    """

    label: NDArray[np.int64]
    clean_prediction: NDArray[np.int64]
    adversarial_prediction: NDArray[np.int64]
    perturbation_norm: NDArray[np.float32]
    success: NDArray[np.bool_] = field(repr=False)

    @property
    def clean_accuracy(self) -> float:
        """Share of images rightly classified."""
        return float((self.clean_prediction == self.label).mean())

    @property
    def robust_accuracy(self) -> float:
        """Share of images rightly classified when clean and at every point in the ball that the attack tried."""
        return float((self.adversarial_prediction == self.label).mean())


def evaluate(
    model: nn.Module,
    images: ArrayLike | Tensor,
    labels: ArrayLike | Tensor,
    attack: AttackSettings | None = None,
    *,
    threat: ThreatSettings,
    seed: int = 0,
    clip: tuple[float, float] | None = (0.0, 1.0),
) -> EvaluationTable:
    """Attack a model and report what it predicts for each image.

    Args:
        model: maps [B, C, H, W] (or [B, D]) float32 to logits [B, K]; eval mode.
        images: [N, C, H, W] (or [N, D]) floats in the range of `clip`.
        labels: [N] integers in [0, K).
        attack: settings of the attack; None: C&W-PGD with 40 steps. Which images are attacked is said by `images`
            alone: its `split` and `num_images` count in a study only.
        threat: norm and epsilon.
        seed: of the random numbers; each image has its own, so that the batch size does not change the result.
        clip: range of valid inputs; None: unbounded.

    Returns:
        One row an image.

    Raises:
        DataError: a model in train mode or giving probabilities, labels out of range, images that are not floats
            in the range of `clip`.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
        >>> images = [[0.9, 0.3], [0.9, 0.3], [0.6, 0.5]]
        >>> table = evaluate(model, images, [0, 1, 0], threat=ThreatSettings(epsilon=0.1))
        >>> round(table.clean_accuracy, 2), round(table.robust_accuracy, 2)
        (0.67, 0.33)
    """
    settings = attack or CwPgdSettings(method="cw_pgd")
    pixels, targets = check_inputs(model, images, labels, clip)
    device = model_device(model)
    ball = make_ball(settings, threat, clip)
    with Folding(model).applied(), frozen_parameters(model):
        blocks = [
            _evaluate_block(model, pixels[rows].to(device), targets[rows].to(device), rows, settings, ball, seed)
            for rows in _blocks(len(pixels), settings.batch_size, settings.method)
        ]
    return EvaluationTable(*[np.concatenate(column) for column in zip(*blocks, strict=True)])


def make_ball(settings: AttackSettings, threat: ThreatSettings, clip: tuple[float, float] | None) -> Ball:
    """Return where an attack looks."""
    epsilon = 0.0 if isinstance(settings, CleanSettings) else settings.epsilon or threat.epsilon
    return Ball(settings.norm or threat.norm, epsilon, clip)


def _blocks(count: int, size: int, method: str) -> Iterator[NDArray[np.int64]]:
    with tqdm(total=count, desc=f"attacking ({method})", unit="image", disable=None) as bar:
        for start in range(0, count, size):
            rows = np.arange(start, min(start + size, count))
            yield rows
            bar.update(len(rows))


def _evaluate_block(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    rows: NDArray[np.int64],
    settings: AttackSettings,
    ball: Ball,
    seed: int,
) -> tuple[NDArray[np.generic], ...]:
    with torch.no_grad():
        clean = model(images).argmax(1)
    right = torch.nonzero(clean == labels).squeeze(1)
    predicted, lengths = clean.clone(), torch.zeros(len(images), device=images.device)
    if len(right):
        batch = Batch(images[right], labels[right], rows[right.cpu().numpy()], seed)
        attack = importlib.import_module(attack_module(settings.method)).attack
        found: Found = attack(model, batch, ball, settings)
        measure = _measure_shortest if isinstance(settings, MinimumNormSettings) else _measure_inside
        predicted[right], lengths[right] = measure(found, batch, ball)
    success = (clean == labels) & (predicted != labels)
    return tuple(column.cpu().numpy() for column in (labels, clean, predicted, lengths, success))


def _measure_inside(found: Found, batch: Batch, ball: Ball) -> tuple[Tensor, Tensor]:
    """Return the predictions and the norms of perturbations that must lie in the ball."""
    lengths = norms(found.images - batch.images, ball.norm).float()
    if float(lengths.max()) > ball.epsilon * (1 + _TOLERANCE) + _TOLERANCE:
        raise AssertionError(f"perturbation of {float(lengths.max())} left the ball of {ball.epsilon}")
    return found.prediction, lengths


def _measure_shortest(found: Found, batch: Batch, ball: Ball) -> tuple[Tensor, Tensor]:
    """Return predictions that count what lies in the open ball alone, and the norms of all; inf: none was found."""
    lengths = norms(found.images - batch.images, ball.norm).float()
    lengths = torch.where(found.prediction == batch.labels, torch.inf, lengths)
    return torch.where(lengths < ball.epsilon, found.prediction, batch.labels), lengths
