"""AutoAttack (Croce & Hein 2020), standard version, as its authors' code in the package `pyautoattack` runs it.

APGD-CE, targeted APGD-DLR, targeted FAB and Square, each on the images that withstood the ones before. Where we differ:
with fewer than 10 classes every other class is a target, where the package would ask for nine and fail.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn

from pumalib.attacks.batch import Ball, Batch, Found
from pumalib.attacks.settings import AutoattackSettings, expect_attack_packages
from pumalib.errors import DataError
from pumalib.randomness import derive_seed

_NORMS = {"linf": "Linf", "l2": "L2"}

_NUM_TARGETS = 9
"""Other classes aimed at, the most likely ones."""

_LEAST_CLASSES = 4
"""The targeted DLR loss divides by the distance of the highest logit from the third and fourth."""

_LEAST_SIDE = 5
"""The Square attack in L2 begins with a tiling by 5 x 5."""


def attack(model: nn.Module, batch: Batch, ball: Ball, settings: AutoattackSettings) -> Found:
    """Search a wrong prediction with the four attacks.

    Args:
        model: maps [B, C, H, W] to logits [B, K], K at least 4; eval mode.
        batch: rightly classified images, [B, C, H, W] in [0, 1], at least 5 x 5 for `l2`.
        ball: where to look; clipped to [0, 1].
        settings: none that change the attack.

    Returns:
        The point found by the first attack that succeeded; the image itself where none did.

    Raises:
        ConfigError: `pyautoattack` is not installed.
        DataError: too few classes, or images of another shape or range.
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
        runner.apgd_targeted.n_target_classes = runner.fab.n_target_classes = min(_NUM_TARGETS, num_classes - 1)
        found, prediction = runner.run_standard_evaluation(batch.images, batch.labels, batch_size=len(batch.images))
    return Found(found, prediction)


def _check(model: nn.Module, batch: Batch, ball: Ball) -> int:
    """Return the number of classes."""
    if ball.clip != (0.0, 1.0):
        raise DataError(f"expected images in [0, 1] for AutoAttack, got the range {ball.clip}; give another attack")
    shape = tuple(batch.images.shape)
    if len(shape) != 4 or (ball.norm == "l2" and min(shape[2:]) < _LEAST_SIDE):
        least = f", at least {_LEAST_SIDE} x {_LEAST_SIDE}," if ball.norm == "l2" else ""
        raise DataError(f"expected images [B, C, H, W]{least} for AutoAttack, got {list(shape)}; give another attack")
    with torch.no_grad():
        num_classes = model(batch.images[:1]).shape[1]
    if num_classes < _LEAST_CLASSES:
        raise DataError(
            f"expected {_LEAST_CLASSES} classes or more for AutoAttack, whose targeted loss compares four logits, "
            f"got {num_classes}; give cw_pgd and square"
        )
    return int(num_classes)
