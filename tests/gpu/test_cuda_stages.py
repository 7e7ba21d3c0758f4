"""Stages on a CUDA device: memory, compilation, kernels of its own. Needs no Snakemake."""

import re
from typing import Any

import numpy as np
import pytest
import torch

from pumalib import (
    ArchitectureSettings,
    CwPgdSettings,
    PgdSettings,
    ThreatSettings,
    TradesSettings,
    build_model,
    deepfool_margins,
    evaluate,
)
from pumalib.attacks.threat_settings import Norm
from pumalib.errors import ResourceError
from pumalib.jobs.devices import enough_memory
from pumalib.jobs.memory import expect_memory, free_memory
from pumalib.jobs.states import NO_STATE, StateFile, StatePlace
from pumalib.learning.inputs import LearningInputs
from pumalib.learning.methods.tri_level import learn
from pumalib.learning.settings import TriLevelSettings
from pumalib.synthesis.edm import train_generator
from pumalib.synthesis.sampling import balanced_labels, sample_images
from pumalib.synthesis.settings import EdmSettings
from pumalib.training.recipe import Execution, Recipe
from pumalib.training.rows import TrainingRows
from pumalib.training.train import TrainingResult, train_on_rows

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
THREAT = ThreatSettings(epsilon=0.1)
NEXT_TO_NOTHING = ThreatSettings(epsilon=1e-4)
"""Of comparisons with the CPU: a device draws the random starts of attacks by its own generator."""
CUDA = torch.device("cuda")
Images = tuple[np.ndarray, np.ndarray]


class DiedError(Exception):
    """Raised where a test lets a training die."""


def bright_or_dark(count: int) -> Images:
    generator = np.random.default_rng(0)
    labels = np.arange(count) % 2
    images = labels[:, None, None, None] * 90 + generator.integers(80, size=(count, 8, 8, 3))
    return images.astype(np.uint8), labels


def trained(
    device: str = "cuda", state: StateFile = NO_STATE, threat: ThreatSettings = THREAT, **options: Any
) -> TrainingResult:
    """Train a convnet for a few steps, so that rounding has not grown yet."""
    recipe = TradesSettings(
        epochs=3, samples_per_epoch=64, batch_size=32, attack_steps=2, crop_padding=0, horizontal_flip=False,
        learning_rate=0.01, **options,
    )  # fmt: skip
    model = build_model(ArchitectureSettings(name="convnet", width=8), (8, 8, 3), 2, seed=0)
    images, labels = bright_or_dark(64)
    rows, epsilons = np.arange(64), np.full(64, threat.epsilon, np.float32)
    data = TrainingRows(images, labels, np.zeros(64, np.uint8), rows, epsilons, (8, 8, 3))
    return train_on_rows(model, data, Recipe(recipe, threat), None, Execution(device=device, state_file=state))


def distance(one: TrainingResult, other: TrainingResult) -> float:
    """Return the largest difference of a weight, over the largest weight."""
    pairs = list(zip(one.model.parameters(), other.model.parameters(), strict=True))
    largest = max(float(weight.detach().abs().max()) for weight, _ in pairs)
    return max(float((first.cpu() - second.cpu()).abs().max()) for first, second in pairs) / largest


def test_training_agrees_with_the_cpu() -> None:
    assert distance(trained("cpu", threat=NEXT_TO_NOTHING), trained(threat=NEXT_TO_NOTHING)) < 1e-3


@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")  # torch 2.11's own
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores:UserWarning")
@pytest.mark.parametrize("options", [{"channels_last": True}, {"attack_precision": "bfloat16"}, {"compile": True}])
def test_a_faster_option_is_the_same_training_up_to_rounding(options) -> None:
    assert distance(trained(), trained(**options)) < 0.02


def test_a_training_that_died_goes_on_as_far_as_the_device_repeats_itself(tmp_path) -> None:
    class Dying(StateFile):
        """Lets the training die at the fourth state that it offers."""

        count = 0

        def offer(self, values: Any) -> None:
            super().offer(values)
            self.count += 1
            if self.count == 4:
                raise DiedError

    place = StatePlace(tmp_path / "state", 0)
    with pytest.raises(DiedError):
        trained(state=Dying(place, "key"))
    assert place.path.exists()
    resumed, whole = trained(state=StateFile(place, "key")), trained()
    noise = max(distance(whole, trained()) for _ in range(3))
    assert distance(whole, resumed) <= 3 * noise, noise


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_margins_of_a_linear_network_are_the_distances_by_hand(norm: Norm) -> None:
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(2, 48, generator=generator))
        model[1].bias.zero_()
    images = torch.rand(64, 3, 4, 4, generator=generator) * 0.02 + 0.49
    normal = (model[1].weight[0] - model[1].weight[1]).detach().double()
    signed = images.flatten(1).double() @ normal
    length = normal.abs().sum() if norm == "linf" else normal.norm()
    labels = (signed < 0).long()
    found = deepfool_margins(model.to(CUDA).eval(), images, labels.numpy(), norm=norm)
    assert found.converged.all()
    np.testing.assert_allclose(found.margin, (signed.abs() / length).numpy(), rtol=0.01, atol=1e-5)


def test_screening_in_bfloat16_spares_no_image() -> None:
    network = trained().model.to(CUDA)
    images, labels = bright_or_dark(64)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    threat = ThreatSettings(epsilon=0.2)
    alone = evaluate(network, pixels, labels, CwPgdSettings(), threat=threat)
    screened = evaluate(network, pixels, labels, CwPgdSettings(screening="bfloat16"), threat=threat)
    assert alone.success.any()
    assert not (alone.success & ~screened.success).any()


def test_a_generator_trains_and_samples_near_the_cpu() -> None:
    settings = EdmSettings(
        method="edm", dataset="toy", network="mlp", width=32, num_blocks=1, steps=100, batch_size=64,
        learning_rate=5e-3, averaging=0.9, sampling_steps=8, sampling_batch_size=16,
    )  # fmt: skip
    labels = balanced_labels(64, 2)
    images = np.random.default_rng(0).integers(0, 40, (64, 8, 8, 1), dtype=np.uint8)
    images[labels == 1] += 200
    denoiser = train_generator(images, labels, 2, settings, 0, "cuda")
    drawn = sample_images(denoiser, balanced_labels(16, 2), settings, 0, device="cuda")
    on_cpu = sample_images(denoiser.cpu(), balanced_labels(16, 2), settings, 0)
    assert np.mean(np.abs(drawn.astype(int) - on_cpu) <= 1) > 0.99
    bright = drawn.reshape(16, -1).mean(1)
    assert bright[balanced_labels(16, 2) == 1].min() > bright[balanced_labels(16, 2) == 0].max() + 50


def test_learned_pixels_agree_with_the_cpu() -> None:
    architecture = {"name": "mlp", "width": 8, "activation": "silu"}
    settings = TriLevelSettings.model_validate(
        {"method": "tri_level", "pool": "real", "architectures": [architecture], "steps": 4, "unrolled_steps": 2,
         "batch_size": 16, "networks": 2, "max_age": 12, "attack_steps": 3, "attack_batch_size": 32,
         "step_size": 0.02, "probe_every": 100}
    )  # fmt: skip
    images, labels = bright_or_dark(40)
    found = [
        learn(settings, LearningInputs(images, labels, 2, NEXT_TO_NOTHING, device=name)) for name in ("cuda", "cpu")
    ]
    assert np.mean(np.abs(found[0].astype(int) - found[1]) <= 1) > 0.99
    assert (found[0] != images).any()


def test_a_batch_that_does_not_fit_the_device_is_refused_with_the_numbers() -> None:
    free = free_memory(CUDA)
    assert 0 < free <= torch.cuda.get_device_properties(CUDA).total_memory
    with pytest.raises(ResourceError, match=re.escape("GB free on cuda; lower batch_size")):
        expect_memory(CUDA, int(free) + 2**30, (4, (8, 8, 3)), "lower batch_size")


def test_free_memory_counts_what_torch_keeps() -> None:
    if torch.cuda.get_device_name() == "pretended":
        pytest.skip("a pretended device has no memory")
    before = free_memory(CUDA)
    block = torch.empty(2**28, dtype=torch.uint8, device=CUDA)
    assert before - free_memory(CUDA) > 2**27
    del block  # kept by torch, and free for what comes next
    assert abs(before - free_memory(CUDA)) < 2**27


def test_a_device_without_memory_is_told_in_one_sentence() -> None:
    with (
        pytest.raises(ResourceError, match="expected memory enough on cuda, ran out of it"),
        enough_memory("cuda", "x"),
    ):
        torch.empty(2**50, dtype=torch.uint8, device=CUDA)


def test_pgd_agrees_with_the_cpu() -> None:
    network = trained().model
    images, labels = bright_or_dark(64)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    settings, threat = PgdSettings(method="pgd"), ThreatSettings(norm="l2", epsilon=1.0)
    found = [evaluate(network.to(name), pixels, labels, settings, threat=threat) for name in ("cuda", "cpu")]
    assert abs(found[0].robust_accuracy - found[1].robust_accuracy) <= 2 / 64
