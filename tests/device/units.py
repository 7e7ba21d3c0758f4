"""The units of work whose launches, waits and copies are counted: one step, one batch."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from pumalib import (
    ArchitectureSettings,
    CwPgdSettings,
    ThreatSettings,
    TradesSettings,
    build_model,
    deepfool_margins,
    evaluate,
)
from pumalib.training.images import Batch
from pumalib.training.recipe import Recipe
from pumalib.training.rows import TrainingRows
from pumalib.training.trainer import Trainer
from tests.pretend_device import Device, pretend_device

THREAT = ThreatSettings(epsilon=8 / 255)
IMAGES_A_UNIT = 4
"""Launches and waits do not depend on it."""


@cache
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (64, 32, 32, 3)).astype(np.uint8)


def network(name: str = "resnet-18") -> nn.Module:
    """Return a network in eval mode whose statistics fit images of noise."""
    model = build_model(ArchitectureSettings(name=name), (32, 32, 3), 10, seed=1).train()
    with torch.no_grad():
        for start in (0, 16, 32):
            model(as_points(pixels()[start : start + 16]))
    return model.eval()


def as_points(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def _counted(prepare: Callable[[], Callable[[], object]]) -> Device:
    with pretend_device() as device:
        run = prepare()
        device.clear()
        run()
    return device


def trades_step(**settings: object) -> Device:
    """Count one step after the first."""
    labels = np.random.default_rng(1).integers(0, 10, 64)
    epsilons = np.full(64, THREAT.epsilon, np.float32)
    rows = TrainingRows(pixels(), labels, np.zeros(64, np.uint8), np.arange(64), epsilons, (32, 32, 3))
    length = {"epochs": 1, "samples_per_epoch": 3 * IMAGES_A_UNIT, "batch_size": IMAGES_A_UNIT}
    recipe = Recipe(TradesSettings(**length, **settings), THREAT)

    def prepare() -> Callable[[], object]:
        model = build_model(ArchitectureSettings(name="resnet-18"), (32, 32, 3), 10, seed=1).to("cuda").train()
        trainer = Trainer(model, rows, recipe, torch.device("cuda"))
        batch = Batch(np.arange(IMAGES_A_UNIT))
        trainer._step(0, 0, batch)
        return lambda: trainer._step(1, 0, batch)

    return _counted(prepare)


def deepfool_batch(label: int) -> Device:
    """Count the margins of a batch: of images that are right (label 0, the likeliest class), or wrong (1, the next)."""
    model = network()
    images = as_points(pixels()[:IMAGES_A_UNIT])
    with torch.no_grad():
        labels = model(images).topk(2).indices[:, label].clone()

    def prepare() -> Callable[[], object]:
        model.to("cuda")
        return lambda: deepfool_margins(model, images, labels, max_iterations=2)

    return _counted(prepare)


def cw_batch(epsilon: float = 1e-6) -> Device:
    """Count C&W-PGD-40 on a batch that withstands it."""
    model, images = network(), as_points(pixels()[:IMAGES_A_UNIT])
    with torch.no_grad():
        labels = model(images).argmax(1)

    def prepare() -> Callable[[], object]:
        model.to("cuda")
        threat = ThreatSettings(epsilon=epsilon)
        return lambda: evaluate(model, images, labels, CwPgdSettings(), threat=threat)

    return _counted(prepare)


def edm_step(network: str) -> Device:
    """Count one step of a generator's training after the first."""
    from pumalib.synthesis.edm import _Training
    from pumalib.synthesis.settings import EdmSettings

    about = {"method": "edm", "dataset": "d", "network": network, "width": 32, "num_blocks": 1}
    lengths = {"steps": 9, "batch_size": IMAGES_A_UNIT, "learning_rate": 1e-3, "averaging": 0.9}
    settings = EdmSettings(**about, **lengths, sampling_steps=18, sampling_batch_size=4)

    def prepare() -> Callable[[], object]:
        training = _Training(pixels(), np.zeros(64, np.int64), 10, settings, 0, "cuda")
        training.advance()
        return training.advance

    return _counted(prepare)
