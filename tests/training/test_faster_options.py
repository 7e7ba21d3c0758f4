"""Options that compute faster: the same training up to rounding, and plain float32 where none is asked for."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pumalib.attacks.objectives import cross_entropy
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import ConfigError
from pumalib.models.build import build_model
from pumalib.models.folding import Folding
from pumalib.models.settings import ArchitectureSettings
from pumalib.training.inner_attack import InnerAttack
from pumalib.training.settings import NaturalSettings, TradesSettings
from pumalib.training.train import train

THREAT = ThreatSettings(epsilon=0.1)


def bright_or_dark(count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = labels[:, None, None, None] * 90 + generator.integers(80, size=(count, 8, 8, 3))
    return images.astype(np.uint8), labels


def weights_after(architecture: str, threat: ThreatSettings = THREAT, **options: object) -> list[Tensor]:
    recipe = TradesSettings(epochs=1, samples_per_epoch=128, batch_size=32, attack_steps=2, crop_padding=1, **options)
    model = build_model(ArchitectureSettings(name=architecture, width=8), (8, 8, 3), 2, seed=0)
    trained = train(model, *bright_or_dark(64), settings=recipe, threat=threat).model
    return [weight.detach() for weight in trained.parameters()]


def distance(one: list[Tensor], other: list[Tensor]) -> float:
    """Return the largest difference of a weight, over the largest weight."""
    largest = max(float(weight.abs().max()) for weight in one)
    return max(float((first - second).abs().max()) for first, second in zip(one, other, strict=True)) / largest


def test_an_attack_in_bfloat16_gives_the_same_training_up_to_rounding():
    plain, fast = weights_after("small-cnn"), weights_after("small-cnn", attack_precision="bfloat16")
    assert 0 < distance(plain, fast) < 0.02
    assert all(weight.dtype == torch.float32 for weight in fast)


def test_channels_last_trains_the_same_network_in_another_layout():
    plain, fast = weights_after("small-cnn"), weights_after("small-cnn", channels_last=True)
    assert distance(plain, fast) < 1e-3
    kernels = [weight for weight in fast if weight.ndim == 4]
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
    assert not any(kernel.is_contiguous() for kernel in kernels)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["small-cnn", "convnet"])
def test_a_compiled_training_is_the_same_up_to_rounding(architecture):
    plain, compiled = weights_after(architecture), weights_after(architecture, compile=True)
    assert distance(plain, compiled) < 0.02


def test_only_the_network_of_the_attack_is_in_bfloat16():
    seen: list[tuple[torch.dtype, bool]] = []

    class Watched(nn.Linear):
        def forward(self, inputs: Tensor) -> Tensor:
            seen.append((inputs.dtype, torch.is_autocast_enabled("cpu")))
            return super().forward(inputs)

    images, labels = torch.rand(5, 6), torch.arange(5) % 3

    def objective(logits: Tensor) -> Tensor:
        assert logits.dtype == torch.float32
        return cross_entropy(logits, labels)

    attack = InnerAttack("linf", 2, in_bfloat16=True)
    perturbed = attack.perturb(
        Watched(6, 3),
        images,
        labels,
        torch.full((5,), 0.1),
        objective,
        torch.Generator().manual_seed(0),
    )
    assert seen == [(torch.float32, True)] * 2
    assert perturbed.dtype == torch.float32
    assert (perturbed - images).abs().max() <= 0.1 + 1e-6
    assert not torch.is_autocast_enabled("cpu")


def test_trades_attacks_and_predicts_by_running_statistics_where_told():
    plain, running = weights_after("convnet"), weights_after("convnet", attack_statistics="running")
    assert distance(plain, running) > 1e-4
    same = weights_after("small-cnn"), weights_after("small-cnn", attack_statistics="running")  # without BatchNorm
    assert distance(*same) == 0


def test_an_attack_in_eval_mode_folds_what_it_can_and_trains_the_same_up_to_rounding(monkeypatch):
    # In L2, whose steps are continuous: in L-inf a sign that rounding turns moves a pixel by a whole step.
    running = {"attack_statistics": "running", "threat": ThreatSettings(norm="l2", epsilon=0.5)}
    folded = weights_after("convnet", **running)
    entered: list[int] = []

    @contextmanager
    def as_it_is(folding: Folding) -> Iterator[None]:
        entered.append(len(folding))
        yield

    monkeypatch.setattr(Folding, "applied", as_it_is)
    assert distance(weights_after("convnet", **running), folded) < 1e-3
    assert entered == [4] * len(entered)  # the layers of this network
    assert len(entered) == 2 * 4  # steps: for the clean prediction, and for the attack


def test_precision_of_an_attack_means_nothing_to_natural_training():
    with pytest.raises(ConfigError, match="expected attack_precision only with method pgd_at or trades"):
        NaturalSettings(attack_precision="bfloat16")
