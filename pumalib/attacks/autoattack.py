"""AutoAttack (Croce & Hein 2020), as its authors' code in the package `pyautoattack` runs it.

The standard version: APGD-CE, targeted APGD-DLR, targeted FAB and Square, each on the images that withstood the ones
before. It takes the nine most likely other classes as targets, so it is defined for ten classes or more. With fewer we
run the nearest that is defined (`variant` names it):

* With 4 to 9 classes every other class is a target, where the package would ask for nine and fail.
* The targeted DLR loss divides by the distance of the highest logit from the third and fourth, so it takes 4 classes;
  the DLR loss without target takes 3. With 2 or 3 classes targeted APGD climbs the lead of the target over the label,
  which is the DLR loss without its divisor (a choice of ours). With 3, APGD-DLR without target runs as well.
"""

from __future__ import annotations

import importlib
import logging
from typing import Any

import torch
from torch import Tensor, nn

from pumalib.attacks.batch import Ball, Batch, Found
from pumalib.attacks.settings import AutoattackSettings, expect_attack_packages
from pumalib.errors import DataError
from pumalib.randomness import derive_seed

_NORMS = {"linf": "Linf", "l2": "L2"}

_NUM_TARGETS = 9
"""Other classes aimed at, the most likely ones."""

_LEAST_FOR_DLR, _LEAST_FOR_TARGETED_DLR = 3, 4
"""Classes that the DLR loss takes, without a target and with one."""

_LEAST_SIDE = 5
"""The Square attack in L2 begins with a tiling by 5 x 5."""


def attack(model: nn.Module, batch: Batch, ball: Ball, settings: AutoattackSettings) -> Found:
    """Search a wrong prediction with the four attacks.

    Args:
        model: maps [B, C, H, W] to logits [B, K]; eval mode.
        batch: rightly classified images, [B, C, H, W] in [0, 1], at least 5 x 5 for `l2`.
        ball: where to look; clipped to [0, 1].
        settings: none that change the attack.

    Returns:
        The point found by the first attack that succeeded; the image itself where none did.

    Raises:
        ConfigError: `pyautoattack` is not installed.
        DataError: images of another shape or range.
    """
    expect_attack_packages(settings.method, "the attack")
    num_classes = _check(model, batch, ball)
    package = importlib.import_module("pyautoattack")
    devices = [batch.images.device] if batch.images.is_cuda else []
    with torch.random.fork_rng(devices):  # the package sets the seed of all that follows
        runner: Any = package.AutoAttack(
            model,
            norm=_NORMS[ball.norm],
            eps=ball.epsilon,
            device=batch.images.device,
            seed=derive_seed(batch.seed, "autoattack", int(batch.rows[0])),
        )
        _fit(runner, num_classes)
        found, prediction = runner.run_standard_evaluation(batch.images, batch.labels, batch_size=len(batch.images))
    return Found(found, prediction)


def variant(num_classes: int) -> str:
    """Name what runs on a network of so many classes; `standard` is the authors' version and nothing else."""
    if num_classes > _NUM_TARGETS:
        return "standard"
    targets = f"{num_classes - 1} target{'s' if num_classes > 2 else ''}"
    if num_classes >= _LEAST_FOR_TARGETED_DLR:
        return f"standard attacks with {targets}"
    losses = ["APGD-CE", "APGD-DLR", "targeted APGD on the margin"]
    if num_classes < _LEAST_FOR_DLR:
        losses.remove("APGD-DLR")
    return f"for few classes: {', '.join(losses)}, targeted FAB, Square, with {targets}"


def _fit(runner: Any, num_classes: int) -> None:
    """Leave out of the standard version what is not defined for so few classes; see the module."""
    runner.apgd_targeted.n_target_classes = runner.fab.n_target_classes = min(_NUM_TARGETS, num_classes - 1)
    if num_classes >= _LEAST_FOR_TARGETED_DLR:
        return
    if num_classes >= _LEAST_FOR_DLR:
        runner.attacks_to_run = ["apgd-ce", "apgd-dlr", "apgd-t", "fab-t", "square"]
    attack = runner.apgd_targeted

    def lead(logits: Tensor, labels: Tensor) -> Tensor:
        rows = torch.arange(len(labels), device=labels.device)
        return logits[rows, attack.y_target] - logits[rows, labels]

    attack.dlr_loss_targeted = lead
    runner.logger = logging.getLogger(__name__)
    runner.logger.addFilter(_is_of_what_runs)


def _is_of_what_runs(record: logging.LogRecord) -> bool:
    """Keep out the package's warning that a loss is not defined, which we replaced; its other warnings stay."""
    return "not possible to use" not in record.getMessage()


def _check(model: nn.Module, batch: Batch, ball: Ball) -> int:
    """Return the number of classes."""
    if ball.clip != (0.0, 1.0):
        raise DataError(f"expected images in [0, 1] for AutoAttack, got the range {ball.clip}; give another attack")
    shape = tuple(batch.images.shape)
    if len(shape) != 4 or (ball.norm == "l2" and min(shape[2:]) < _LEAST_SIDE):
        least = f", at least {_LEAST_SIDE} x {_LEAST_SIDE}," if ball.norm == "l2" else ""
        raise DataError(f"expected images [B, C, H, W]{least} for AutoAttack, got {list(shape)}; give another attack")
    with torch.no_grad():
        return int(model(batch.images[:1]).shape[1])
