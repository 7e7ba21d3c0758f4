"""Evaluating a model: one row per image, from which every accuracy is read as an exact sample mean."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from tqdm import tqdm

from pumalib.attacks.batch import Ball, Batch, Found
from pumalib.attacks.inputs import check_inputs, images_a_batch
from pumalib.attacks.projection import norms, per_row
from pumalib.attacks.settings import (
    WITHOUT_GRADIENTS,
    AttackSettings,
    CleanSettings,
    CwPgdSettings,
    MinimumNormSettings,
    attack_module,
)
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.arrays import as_labels
from pumalib.models.checks import frozen_parameters
from pumalib.models.folding import Folding
from pumalib.models.inputs import ModelInputs
from pumalib.models.network import Network

_TOLERANCE = 1e-5


@dataclass(frozen=True)
class EvaluationTable:
    """What a model predicts for each image, and what an attack makes of it.

    Attributes:
        label: [N] int64.
        clean_prediction: [N] int64.
        adversarial_prediction: [N] int64; the clean prediction where that is wrong already.
        perturbation_norm: [N] float32, norm of the perturbation behind `adversarial_prediction`, pixel scale; 0 where
            the clean prediction is wrong already. With `minimum_norm`, of the shortest perturbation found, longer than
            epsilon or not, and inf where none was found; with `autoattack`, 0 where none was found.
        success: [N] bool, whether the model is right about the image, and the attack fooled it.
        points: [N, ...] float, laid out and scaled as the network takes images: where the model was seen to predict
            `adversarial_prediction`; None: not asked for. All lie in the ball. Where the clean prediction is wrong
            already, and where `minimum_norm` or `autoattack` found no point in the ball, it is the image itself.
    """

    label: NDArray[np.int64]
    clean_prediction: NDArray[np.int64]
    adversarial_prediction: NDArray[np.int64]
    perturbation_norm: NDArray[np.float32]
    success: NDArray[np.bool_] = field(repr=False)
    points: NDArray[np.floating] | None = field(default=None, repr=False)

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
    rows: ArrayLike | None = None,
) -> EvaluationTable:
    """Attack a model, and report what it predicts for each image.

    Args:
        model: maps float32 [B, C, H, W] or [B, D] to logits [B, K], K classes; in eval mode.
        images: [N, C, H, W] or [N, D] floats in the range of `clip`; also [N, H, W, C], and uint8, which is divided by
            255.
        labels: [N] integers in [0, K).
        attack: settings of the attack; None: `CwPgdSettings`, which takes 40 steps. All images are attacked: `split`
            and `num_images` of the settings count in a study only.
        threat: norm and epsilon.
        seed: of the random numbers. Each image has its own, so that the batch size does not change the result.
        clip: lowest and highest value of a valid input; None: any value is valid.
        rows: [N] integers, a number for each image, which its random numbers come from; None: 0 to N - 1. With the
            numbers of the dataset, an image of a subset gets the same random numbers as among all.

    Returns:
        A row for each image, and the two accuracies.

    Raises:
        DataError: images, labels or a model that do not fit. The model must be in eval mode and give finite logits, not
            probabilities, that follow from each image alone.

    Source: PUMA's "C&W" is PGD on the margin loss of Carlini and Wagner 2017. The classes of the attacks name theirs.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(2, 2).eval()
        >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.data.zero_()
        >>> from pumalib import ThreatSettings
        >>> images = [[0.9, 0.3], [0.9, 0.3], [0.6, 0.5]]
        >>> table = evaluate(model, images, [0, 1, 0], threat=ThreatSettings(epsilon=0.1))
        >>> round(table.clean_accuracy, 2), round(table.robust_accuracy, 2)
        (0.67, 0.33)
    """
    settings = attack or CwPgdSettings()
    needs_gradient = settings.method not in WITHOUT_GRADIENTS
    network, pixels, targets = check_inputs(model, images, labels, clip, needs_gradient)
    numbers = np.arange(len(pixels)) if rows is None else as_labels(rows, len(pixels), "rows")
    blocks = evaluate_blocks(network, (pixels, targets, numbers), settings, make_ball(settings, threat, clip), seed)
    return join_blocks(list(blocks))


Block = tuple[NDArray[Any], ...]
"""The columns of an `EvaluationTable` for one batch; without points unless they are asked for."""


def evaluate_blocks(
    network: Network,
    data: tuple[Tensor | ModelInputs, Tensor, NDArray[np.int64]],
    settings: AttackSettings,
    ball: Ball,
    seed: int,
    first: int = 0,
) -> Iterator[Block]:
    """Attack a network batch by batch, from an image on that began a batch before.

    Args:
        network: checked.
        data: images [N, ...], of which a batch at a time is looked at, labels [N] and numbers [N] of the images.
        settings: of the attack.
        ball: where to look.
        seed: of the random numbers.
        first: images that are done already.
    """
    images, labels, numbers = data
    size = images_a_batch(settings.batch_size, tuple(images.shape[1:]))
    bar = tqdm(total=len(images), initial=first, desc=f"attacking ({settings.method})", unit="image", disable=None)
    with bar, Folding(network.module).applied(), frozen_parameters(network):
        for start in range(first, len(images), size):
            some = slice(start, start + size)
            yield _evaluate_block(network, images[some], labels[some], numbers[some], settings, ball, seed)
            bar.update(len(images[some]))


def join_blocks(blocks: Sequence[Block]) -> EvaluationTable:
    """Put the batches of an evaluation together."""
    return EvaluationTable(*[np.concatenate(column) for column in zip(*blocks, strict=True)])


def make_ball(settings: AttackSettings, threat: ThreatSettings, clip: tuple[float, float] | None) -> Ball:
    """Return where an attack looks."""
    epsilon = 0.0 if isinstance(settings, CleanSettings) else settings.epsilon or threat.epsilon
    return Ball(settings.norm or threat.norm, epsilon, clip)


def _evaluate_block(
    network: Network,
    images: Tensor,
    labels: Tensor,
    rows: NDArray[np.int64],
    settings: AttackSettings,
    ball: Ball,
    seed: int,
) -> Block:
    images, labels = images.to(network.device), labels.to(network.device)
    with torch.no_grad():
        clean = network(images).argmax(1)
    network.expect_finite(images)
    right = torch.nonzero(clean == labels).squeeze(1)
    predicted, lengths = clean.clone(), torch.zeros(len(images), device=images.device)
    points = images.clone()
    if len(right):
        batch = Batch(images[right], labels[right], rows[right.cpu().numpy()], seed)
        attack = importlib.import_module(attack_module(settings.method)).attack
        found: Found = attack(network, batch, ball, settings)
        network.expect_finite(batch.images)
        measure = _measure_shortest if isinstance(settings, MinimumNormSettings) else _measure_inside
        predicted[right], lengths[right], points[right] = measure(found, batch, ball)
    success = (clean == labels) & (predicted != labels)
    columns = (labels, clean, predicted, lengths, success, *([points] if settings.keep_points else []))
    return tuple(column.cpu().numpy() for column in columns)


def _measure_inside(found: Found, batch: Batch, ball: Ball) -> tuple[Tensor, Tensor, Tensor]:
    """Return the predictions, the norms of perturbations that must lie in the ball, and the points."""
    lengths = norms(found.images - batch.images, ball.norm).float()
    if float(lengths.max()) > farthest_allowed(ball.epsilon):
        raise AssertionError(f"perturbation of {float(lengths.max())} left the ball of {ball.epsilon}")
    return found.prediction, lengths, found.images


def _measure_shortest(found: Found, batch: Batch, ball: Ball) -> tuple[Tensor, Tensor, Tensor]:
    """Return predictions that count what lies in the open ball alone, the norms of all, and the points that count.

    A norm is inf where none was found; a point is the image where none in the ball was.
    """
    lengths = norms(found.images - batch.images, ball.norm).float()
    lengths = torch.where(found.prediction == batch.labels, torch.inf, lengths)
    predicted = torch.where(lengths < ball.epsilon, found.prediction, batch.labels)
    return predicted, lengths, torch.where(per_row(predicted != batch.labels, found.images), found.images, batch.images)


def farthest_allowed(epsilon: float) -> float:
    """Return how far from its image a point may lie that was projected onto the ball.

    A pixel in [0, 1] is rounded by up to 3e-8 when a perturbation is added to it; over 100,000 of them that is 1e-5 in
    L2.
    """
    return epsilon * (1 + _TOLERANCE) + _TOLERANCE
