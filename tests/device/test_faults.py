"""What went wrong on a device, or would have, without anything to show for it on a CPU."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
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
    fast_margins,
    refined_margins,
)
from pumalib.jobs.states import StateFile, StatePlace, state_key
from pumalib.learning.memory import free_bytes
from pumalib.models.network import Network, size_planned
from pumalib.training.recipe import Execution, Recipe
from pumalib.training.rows import TrainingRows
from pumalib.training.train import train_on_rows
from tests.pretend_device import pretend_device

THREAT = ThreatSettings(epsilon=8 / 255)
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


class StoppedError(Exception):
    pass


def small_rows() -> TrainingRows:
    generator = np.random.default_rng(0)
    images, labels = generator.integers(0, 256, (24, 8, 8, 3)).astype(np.uint8), np.arange(24) % 4
    return TrainingRows(
        images, labels, np.zeros(24, np.uint8), np.arange(24), np.full(24, 8 / 255, np.float32), (8, 8, 3)
    )


def losses(state: StateFile | None, device: int, count: int) -> list[float]:
    """Train a network with dropout on one of so many devices, and return the losses."""
    network = nn.Sequential(build_model(ArchitectureSettings(name="small-cnn"), (8, 8, 3), 4, seed=1), nn.Dropout(0.5))
    settings = TradesSettings(epochs=1, samples_per_epoch=24, batch_size=8, attack_steps=1, history_images=8)
    where = Execution("cuda") if state is None else Execution("cuda", state_file=state)
    with pretend_device(count):
        torch.cuda.set_device(device)
        return train_on_rows(network, small_rows(), Recipe(settings, THREAT), where=where).history.loss.tolist()


@pytest.mark.parametrize(("then", "count"), [((1, 2)), ((0, 2)), ((0, 1))], ids=["same", "another", "fewer"])
def test_a_training_goes_on_with_its_random_numbers_on_whichever_device_is_free(then, count, tmp_path, monkeypatch):
    place, offers = StatePlace(tmp_path / "state", 0.0), 0
    state, offer = StateFile(place, "key"), StateFile.offer

    def stop_at_the_third(self: StateFile, values: Any) -> None:
        nonlocal offers
        offer(self, values)
        offers += 1
        if offers == 3:
            raise StoppedError

    with monkeypatch.context() as patch:
        patch.setattr(StateFile, "offer", stop_at_the_third)
        with pytest.raises(StoppedError):
            losses(state, device=1, count=2)
    assert losses(StateFile(place, "key"), then, count) == losses(None, device=1, count=2)


def test_a_state_of_another_precision_is_not_gone_on_from():
    keys = []
    for tf32 in (False, True):
        with pretend_device(tf32=tf32):
            keys.append(state_key(seed=1))
    assert keys[0] != keys[1]


@pytest.fixture(scope="module")
def trained() -> tuple[nn.Module, Tensor, np.ndarray]:
    """Return a small network that has learned digits, and digits."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images).float()[:, None] / 16
    torch.manual_seed(0)
    model = build_model(ArchitectureSettings(name="convnet", width=8), (8, 8, 1), 10)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for rows in torch.arange(1700).split(100) * 3:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(pixels[rows]), torch.from_numpy(bunch.target)[rows]).backward()
        optimizer.step()
    return model.eval(), pixels[:150].contiguous(), bunch.target[:150]


@pytest.mark.slow
@pytest.mark.parametrize("estimate", [deepfool_margins, fast_margins, refined_margins])
def test_margins_in_float32_are_those_of_the_cpu(estimate, trained):
    model, pixels, labels = trained
    expected = estimate(model, pixels, labels)
    with pretend_device():
        found = estimate(model.to("cuda"), pixels, labels)
        model.to("cpu")
    np.testing.assert_allclose(found.margin, expected.margin, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("estimate", [deepfool_margins, fast_margins])
def test_points_found_in_tf32_are_across_in_float32(estimate, trained):
    model, pixels, labels = trained
    with pretend_device(tf32=True):
        table = estimate(model.to("cuda"), pixels, labels, keep_adversarial=True)
        model.to("cpu")
    assert table.converged.mean() > 0.95
    points = torch.from_numpy(table.adversarial_images[table.converged])
    with torch.no_grad():
        is_right = model(points).argmax(1).numpy() == labels[table.converged]
    assert np.array_equal(is_right, table.margin[table.converged] < 0)


def test_slack_of_a_crossing_follows_the_precision():
    model = nn.Linear(4, 3).eval()
    found = {}
    for tf32 in (False, True):
        with pretend_device(tf32=tf32):
            network = Network(model.to("cuda"))
            network(torch.rand(2, 4, device="cuda"))
            found[tf32] = network.rounding
            model.to("cpu")
    assert found == {False: 16 * 2.0**-23, True: 4 * 2.0**-10}
    with pretend_device(tf32=True):  # nothing is rounded there
        network = Network(nn.Linear(4, 3).double().to("cuda").eval())
        network(torch.rand(2, 4, device="cuda", dtype=torch.double))
        assert network.rounding == 16 * 2.0**-52


@pytest.mark.slow
def test_an_attack_that_looks_now_and_then_finds_what_it_finds_when_it_always_looks(trained):
    model, pixels, labels = trained
    attack = CwPgdSettings(steps=10, restarts=2, keep_points=True)
    threat = ThreatSettings(epsilon=0.1)
    expected = evaluate(model, pixels, labels, attack, threat=threat)
    with pretend_device():
        found = evaluate(model.to("cuda"), pixels, labels, attack, threat=threat)
        model.to("cpu")
    assert 0.1 < expected.success.mean() < 0.9
    np.testing.assert_array_equal(found.adversarial_prediction, expected.adversarial_prediction)
    assert found.points is not None
    assert expected.points is not None
    np.testing.assert_allclose(found.points, expected.points, atol=1e-5)


@pytest.mark.slow
def test_batches_that_shrink_have_few_sizes(trained):
    model, pixels, labels = trained
    with pretend_device() as device:
        fast_margins(model.to("cuda"), pixels, labels)
        model.to("cpu")
    assert len(device.batch_sizes) <= 14


@pytest.mark.parametrize(
    ("count", "planned"), [(1, 8), (8, 8), (9, 16), (63, 64), (65, 80), (129, 160), (300, 320), (500, 512)]
)
def test_planned_batch_sizes_are_four_an_octave(count, planned):
    assert size_planned(count) == planned


class Viewing(nn.Module):
    """A network that asks for a view which images have with channels first alone."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.linear = nn.Conv2d(3, 4, 3), nn.Linear(4 * 36, 2)

    def forward(self, images: Tensor) -> Tensor:
        features = self.convolution(images)
        return self.linear(features.view(len(features), -1))


def test_a_network_that_cannot_take_channels_last_gets_channels_first():
    torch.manual_seed(0)
    model, images = Viewing().eval(), torch.rand(5, 3, 8, 8)
    with torch.no_grad():
        expected = model(images)
    with pretend_device(), torch.no_grad():
        network = Network(model.to("cuda"))
        found = [network(images.to("cuda")).cpu(), network(images[:3].to("cuda")).cpu()]
    torch.testing.assert_close(found[0], expected)
    torch.testing.assert_close(found[1], expected[:3])


def test_memory_that_torch_holds_unused_is_free(monkeypatch):
    with pretend_device():
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device=None: 5 << 30)
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device=None: 2 << 30)
        assert free_bytes(torch.device("cuda")) == (70 << 30) + (3 << 30)


@pytest.mark.slow
def test_benchmarks_time_what_they_say(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    benchmark = importlib.import_module("trades_step")
    flags: dict[str, set[tuple[bool, bool]]] = {}
    row = ""

    def noted(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            seen = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
            flags.setdefault(row, set()).add(seen)
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(benchmark, "plain_loss", noted(benchmark.plain_loss))
    monkeypatch.setattr(benchmark.Trainer, "_step", noted(benchmark.Trainer._step))
    with pretend_device(tf32=True):
        model = build_model(ArchitectureSettings(name="small-cnn"), (8, 8, 3), 10).to("cuda")
        images, labels = torch.rand(16, 3, 8, 8, device="cuda"), torch.zeros(16, dtype=torch.long, device="cuda")
        options = argparse.Namespace(batch=8, count=1, faster=False)
        for row, run in benchmark.loops(model, images, labels, options).items():  # noqa: B007
            run()
    assert len(flags) == 8
    assert all(seen == {("TF32" in name,) * 2} for name, seen in flags.items())


def test_benchmarks_set_float32_whatever_torch_does(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    with pretend_device(tf32=True):
        importlib.import_module("nets").settle(torch.get_num_threads())
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
