"""Memory is asked for before the work."""

import math

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import ResourceError
from pumalib.jobs.memory import expect_memory, free_memory
from pumalib.models.size import size_of
from pumalib.training.settings import TradesSettings
from pumalib.training.train import train


def test_a_batch_that_does_not_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(
        ResourceError,
        match=r"expected about 9000000\.0 GB of memory for a batch of 64 images of 224x200 pixels, got \d+\.\d GB free "
        r"on cpu; lower batch_size",
    ):
        expect_memory("cpu", 9 * 10**15, (64, (224, 200, 3)), "lower batch_size")
    expect_memory("cpu", 1, (64, (224, 200, 3)), "lower batch_size")


def test_free_memory_is_no_more_than_the_machine_has() -> None:
    assert 0 < free_memory(torch.device("cpu")) <= psutil.virtual_memory().total
    assert free_memory(torch.device("meta")) == math.inf


def test_a_network_is_measured_layer_by_layer() -> None:
    """A convolution to 5 channels of 4 x 4, a ReLU and a flat form of as many numbers, and 3 logits."""
    model = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)).train()
    size = size_of(model, (4, 4, 1))
    assert size.activations == 4 * (80 + 80 + 80 + 3)
    assert size.weights == 4 * (45 + 5 + 240 + 3)
    assert size.of_attack(10) == size.weights + 20 * size.activations
    assert size.of_training(10, 2) == 4 * size.weights + 20 * size.activations
    assert model.training


def test_training_refuses_a_batch_for_which_there_is_too_little_memory() -> None:
    images = np.zeros((8, 4, 4, 1), np.uint8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 10**4), nn.ReLU(), nn.Linear(10**4, 2))
    settings = TradesSettings(epochs=1, samples_per_epoch=10**9, batch_size=10**9)
    with pytest.raises(ResourceError, match=r"memory for a batch of 1000000000 images of 4x4 pixels.*lower batch_size"):
        train(model, images, np.arange(8) % 2, settings=settings, threat=ThreatSettings(epsilon=0.1))
