"""How much memory unrolled steps keep, and what is said where there is not enough."""

from dataclasses import replace

import psutil
import pytest
import torch

from pumalib.errors import DataError
from pumalib.learning.memory import kept_bytes
from pumalib.learning.methods.tri_level import learn
from pumalib.learning.unrolling import Recipe
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings

RECIPE = Recipe(0.1, momentum=0.9, weight_decay=5e-4, label_smoothing=0.1)


def kept(width: int, rows: int, num_steps: int, recompute: bool = False) -> int:
    model = build_model(ArchitectureSettings(name="mlp", width=width), (8, 8, 1), 10)
    return kept_bytes(model, torch.rand(rows, 1, 8, 8), torch.arange(rows) % 10, RECIPE, num_steps, recompute)


def test_every_step_keeps_at_least_its_weights_and_its_images():
    model = build_model(ArchitectureSettings(name="mlp", width=32), (8, 8, 1), 10)
    weights = sum(weight.nbytes for weight in model.parameters() if weight.ndim == 2)
    assert kept(32, 500, 11) - kept(32, 500, 1) >= 10 * (weights + 500 * 64 * 4)
    assert kept(32, 500, 0) == 0


def test_memory_grows_with_steps_and_rows_and_less_with_recomputing():
    assert kept(16, 200, 20) - kept(16, 200, 10) == kept(16, 200, 30) - kept(16, 200, 20) > 0
    assert 1.8 < kept(16, 2000, 10) / kept(16, 1000, 10) < 2.2
    assert kept(16, 1000, 50, recompute=True) < kept(16, 1000, 50) / 10


def test_steps_that_do_not_fit_are_refused_before_anything_is_learned(settings, inputs, tmp_path):
    # More than memory by what one step's images alone take, 16 rows of 16 pixels in float32.
    too_many = psutil.virtual_memory().total // (16 * 16 * 4) + 1
    impossible = settings.model_copy(update={"unrolled_steps": too_many})
    with pytest.raises(
        DataError,
        match=rf"fit into memory, got unrolled_steps {too_many}.* GB where .* GB are free .*recompute_steps: true",
    ):
        learn(impossible, replace(inputs, progress=tmp_path / "progress.csv"))
    assert not (tmp_path / "progress.csv").exists()
    with pytest.raises(DataError, match=r"lower unrolled_steps or batch_size$"):
        learn(impossible.model_copy(update={"recompute_steps": True}), inputs)
