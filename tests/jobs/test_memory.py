"""Memory is asked for before the work."""

import math
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import ResourceError
from pumalib.jobs.memory import expect_memory, free_memory, left_in
from pumalib.models.size import size_of
from pumalib.training.settings import TradesSettings
from pumalib.training.train import train


def test_a_batch_that_does_not_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(
        ResourceError,
        match=r"expected about 9,000,000\.0 GB of memory for a batch of 64 images of 224x200 pixels, got \d+\.\d GB "
        r"free on cpu; lower batch_size",
    ):
        expect_memory("cpu", 9 * 10**15, (64, (224, 200, 3)), "lower batch_size")
    expect_memory("cpu", 1, (64, (224, 200, 3)), "lower batch_size")


def test_free_memory_is_no_more_than_the_machine_has() -> None:
    assert 0 < free_memory(torch.device("cpu")) <= psutil.virtual_memory().total
    assert free_memory(torch.device("meta")) == math.inf


def test_a_network_is_measured_by_what_the_way_back_needs() -> None:
    """The image (16 numbers), the ReLU's result (80), which is the flat form too, and nothing of an identity."""
    layers = (nn.Conv2d(1, 5, 3, padding=1), nn.Identity(), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3))
    model = nn.Sequential(*layers).train()
    size = size_of(model, (4, 4, 1))
    assert size.activations == 4 * (16 + 80)
    assert size.weights == 4 * (45 + 5 + 240 + 3)
    assert size.of_attack(10) == size.weights + 10 * size.activations
    assert size.of_training(10, 2) == 4 * size.weights + 20 * size.activations
    assert model.training


def test_what_is_computed_again_is_not_counted_as_kept() -> None:
    class Again(nn.Sequential):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = checkpoint(super().forward, images, use_reentrant=False)
            return found

    block = (nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 3, 3, padding=1))
    head = (nn.Flatten(), nn.Linear(48, 2))
    plain, again = (size_of(nn.Sequential(kind(*block), *head), (4, 4, 3)) for kind in (nn.Sequential, Again))
    assert again.activations < plain.activations


def test_a_network_whose_first_parameter_is_of_whole_numbers_is_measured() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    model.register_buffer("steps", torch.zeros(1, dtype=torch.int64))
    assert size_of(model, (4, 4, 1)).activations == 4 * 16


def test_what_a_control_group_leaves_counts_what_the_system_can_take_back(tmp_path: Path) -> None:
    for name, text in (
        ("memory.max", "8000000000"),
        ("memory.current", "7900000000"),
        ("memory.stat", "anon 500\nactive_file 1000000000\ninactive_file 2000000000\nslab_reclaimable 3000000000\n"),
    ):
        (tmp_path / name).write_text(text)
    assert left_in(tmp_path) == 8e9 - 7.9e9 + 6e9
    (tmp_path / "memory.max").write_text("max\n")
    assert left_in(tmp_path) == math.inf


def test_training_refuses_a_batch_for_which_there_is_too_little_memory() -> None:
    images = np.zeros((8, 4, 4, 1), np.uint8)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 10**4), nn.ReLU(), nn.Linear(10**4, 2))
    settings = TradesSettings(epochs=1, samples_per_epoch=10**9, batch_size=10**9)
    with pytest.raises(ResourceError, match=r"memory for a batch of 1000000000 images of 4x4 pixels.*lower batch_size"):
        train(model, images, np.arange(8) % 2, settings=settings, threat=ThreatSettings(epsilon=0.1))
