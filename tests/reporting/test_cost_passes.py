from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pumalib.attacks.deepfool import deepfool_margins
from pumalib.attacks.deepfool_published import published_deepfool_margins
from pumalib.attacks.fast_margin import fast_margins
from pumalib.attacks.margins import MarginTable
from pumalib.attacks.refined_margin import refined_margins
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import ArtifactError
from pumalib.reporting.cost_passes import attack_steps, margin_passes, tracking_passes, training_passes
from pumalib.scores.estimates import from_margins
from pumalib.scores.table import ScoreTable
from pumalib.tracks.settings import TrackSettings
from pumalib.training.online.settings import read_online
from pumalib.training.settings import TradesSettings, read_training
from pumalib.training.train import TrainOptions, train

NUM_CHECKED = 16 + 9
"""Images that a check of the model takes beforehand, whatever the number of images."""
NUM_BEFORE_TRAINING = NUM_CHECKED + 1
"""With the one by which its memory is measured."""


class _Count(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, images: Tensor, counter: "Counting") -> Tensor:
        ctx.counter = counter  # type: ignore[attr-defined]
        counter.forwards += len(images)
        return images.clone()

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        ctx.counter.backwards += len(gradient)  # type: ignore[attr-defined]
        return gradient, None


class Counting(nn.Module):
    """A small network that counts the images that go through it, either way."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(num_features, 16)
        self.last = nn.Linear(16, num_classes)
        self.forwards = self.backwards = 0

    def forward(self, images: Tensor) -> Tensor:
        features = self.first(images.flatten(1))
        return self.last(torch.relu(_Count.apply(features, self)))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("method", "statistics"),
    [("natural", {}), ("pgd_at", {}), ("trades", {}), ("trades", {"attack_statistics": "running"})],
)
def test_passes_of_a_training_are_those_that_a_network_counts(method: str, statistics: dict[str, str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 2, 2, 1), dtype=np.uint8)
    steps = {} if method == "natural" else {"attack_steps": 3}
    common = {"epochs": 2, "samples_per_epoch": 30, "batch_size": 8, "crop_padding": 0, "averaging": 0}
    settings = read_training({"method": method, **common, "history_every": 2, **steps, **statistics})
    model = Counting(4, 2)
    train(model, images, np.arange(40) % 2, settings=settings, threat=ThreatSettings(epsilon=0.1))
    assert training_passes(settings, settings.outer_passes) == (model.forwards - NUM_BEFORE_TRAINING, model.backwards)
    assert attack_steps(settings) == len(steps) * 3


@pytest.mark.parametrize("method", ["pgd_at", "trades"])
@pytest.mark.parametrize("selective", [{"fraction": 0.5}, {"fraction": 0.3, "warmup_epochs": 1}, None])
def test_passes_of_a_training_that_spares_rows_are_those_that_a_network_counts(
    method: str, selective: dict[str, Any] | None
) -> None:
    """Without `selective` every fourth row takes one step and the others three: 2.5 steps per row."""
    images = np.random.default_rng(0).integers(0, 256, (40, 2, 2, 1), dtype=np.uint8)
    common = {"epochs": 2, "samples_per_epoch": 40, "batch_size": 8, "averaging": 0, "history_every": 2}
    spared = {"attack_statistics": "running", "selective": selective}
    settings = read_training({"method": method, **common, "attack_steps": 3, **spared})
    model, of_rows = Counting(4, 2), np.where(np.arange(40) % 4 == 0, 1, 3)
    options = TrainOptions(attack_steps=None if selective else of_rows)
    train(model, images, np.arange(40) % 2, settings=settings, threat=ThreatSettings(epsilon=0.1), options=options)
    passes = training_passes(settings, settings.outer_passes, None, None if selective else of_rows.mean())
    assert passes == (model.forwards - NUM_BEFORE_TRAINING, model.backwards)
    rows_attacked = {None: 80 * 2.5, 0.5: 80 * 3 * 4 / 8, 0.3: 80 * 3 * 2 / 8}[selective and selective["fraction"]]
    outer = {"pgd_at": 1, "trades": 2}[method]
    assert passes.backward == 80 * outer + rows_attacked


@pytest.mark.parametrize("method", ["pgd_at", "trades"])
@pytest.mark.parametrize(
    "policy",
    [
        {"policy": "online_margin"},
        {"policy": "online_margin", "prune_above": 0.2, "warmup_epochs": 2, "bisection_steps": 4},
        {"policy": "iaat", "warmup_epochs": 1},
        {"policy": "iaat", "warmup_epochs": 9},
        {"policy": "cat"},
        {"policy": "cat", "attack": "cw"},
    ],
)
def test_passes_of_a_training_that_looks_for_its_epsilons_are_those_that_a_network_counts(
    method: str, policy: dict[str, Any]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 2, 2, 1), dtype=np.uint8)
    common = {"epochs": 3, "samples_per_epoch": 30, "batch_size": 8, "crop_padding": 0, "averaging": 0}
    settings = read_training({"method": method, **common, "history_every": 3, "attack_steps": 3})
    model, online = Counting(4, 2), read_online(policy)
    threat, options = ThreatSettings(epsilon=0.1), TrainOptions(online=online)
    train(model, images, np.arange(40) % 2, settings=settings, threat=threat, options=options)
    passes = training_passes(settings, settings.outer_passes, online)
    assert passes == (model.forwards - NUM_BEFORE_TRAINING, model.backwards)


@pytest.mark.parametrize(
    "track",
    [
        {"visits": {}},
        {"loss": {}, "el2n": {"every": 2}},
        {"correct": {}, "aign": {"first_epoch": 2}},
        {"loss": {"augmented": True}, "el2n": {}, "aign": {"augmented": True, "norm": "l1"}},
        {"correct": {}, "loss": {"inputs": "attacked"}, "aign": {"weights": "averaged"}, "el2n": {}},
    ],
)
def test_passes_of_tracking_are_those_that_a_network_counts(track: dict[str, Any]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 2, 2, 1), dtype=np.uint8)
    settings = TradesSettings(
        epochs=3, samples_per_epoch=24, batch_size=8, horizontal_flip=True, averaging=0, history_every=3, attack_steps=3
    )
    wanted = TrackSettings.model_validate(track)
    counts = []
    for gathered in (TrackSettings(), wanted):
        model = Counting(4, 2)
        threat = ThreatSettings(epsilon=0.1)
        train(model, images, np.arange(40) % 2, settings=settings, threat=threat, options=TrainOptions(track=gathered))
        counts.append((model.forwards, model.backwards))
    added = (counts[1][0] - counts[0][0], counts[1][1] - counts[0][1])
    if "averaged" not in str(track):  # the average is a network of its own, with counters of its own
        assert tracking_passes(wanted, settings, 40) == added
    else:
        assert tracking_passes(wanted, settings, 40) == (added[0] + 40 * 3, added[1] + 40 * 3)


def table_of(margins: MarginTable) -> ScoreTable:
    estimate = from_margins(margins, "linf")
    return ScoreTable(
        score=estimate.score,
        valid=np.ones(len(margins), bool),
        higher_is="easier",
        unit="pixel",
        method="margin",
        pool_fingerprint="f",
        columns=estimate.columns,
    )


@pytest.mark.parametrize(
    ("measure", "options"),
    [
        (deepfool_margins, {}),
        (deepfool_margins, {"num_candidates": 2}),
        (deepfool_margins, {"max_iterations": 1, "norm": "l2", "batch_size": 7}),
        (published_deepfool_margins, {"num_candidates": 2, "batch_size": 20}),
        (refined_margins, {"refinement_steps": 3, "batch_size": 20}),
        (fast_margins, {"step_size": 0.02}),
        (fast_margins, {"step_size": 0.02, "max_iterations": 4, "bisection_steps": 0}),
    ],
)
def test_passes_of_a_search_for_margins_are_those_that_a_network_counts(
    measure: Callable[..., MarginTable], options: dict[str, Any]
) -> None:
    model = Counting(6, 4).eval()
    images = torch.rand(60, 6, generator=torch.Generator().manual_seed(1))
    passes = margin_passes(table_of(measure(model, images, torch.arange(60) % 4, **options)))
    assert passes == (model.forwards - NUM_CHECKED, model.backwards)
    assert passes.backward > 0


def test_a_table_that_did_not_count_its_passes_is_refused() -> None:
    table = table_of(deepfool_margins(Counting(6, 4).eval(), torch.rand(5, 6), torch.arange(5) % 4))
    with pytest.raises(ArtifactError, match="got none named forwards; score the pool again"):
        margin_passes(replace(table, columns={"backwards": table.columns["backwards"]}))
