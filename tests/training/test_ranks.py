"""A training in two processes beside the same in one: the same numbers, up to rounding.

Run by torchrun, this file is one of the two processes: it trains every case and stores the results of its rank.
"""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import ConfigError
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.ranks import ALONE, Ranks, joined_ranks
from pumalib.tracks.settings import TrackSettings
from pumalib.training.batch_norm import share_statistics
from pumalib.training.online.settings import CatEpsilon, IaatEpsilon, OnlineMarginEpsilon
from pumalib.training.recipe import Execution, Recipe
from pumalib.training.rows import TrainingRows
from pumalib.training.settings import read_training
from pumalib.training.train import TrainingResult, train_on_rows

ROOT = Path(__file__).parents[2]
TRACK = {
    "loss": {"augmented": True},
    "correct": {"weights": "averaged", "inputs": "clean"},
    "aign": {"inputs": "clean"},
    "visits": {},
}
online_margin = partial(OnlineMarginEpsilon, policy="online_margin")
CASES: dict[str, dict[str, Any]] = {
    "natural": {"method": "natural", "attack_steps": None},
    "signed epsilons": {"method": "trades", "signed": True, "attack_precision": None},
    "iaat": {"method": "pgd_at", "online": IaatEpsilon(policy="iaat", warmup_epochs=1)},
    "cat": {"method": "pgd_at", "online": CatEpsilon(policy="cat")},
    "pruned in the batch": {"online": online_margin(prune_above=0.02, warmup_epochs=1)},
    "shared statistics": {"architecture": "convnet", "norm": "l2", "schedule_unit": "step"},
    "near rows": {
        "method": "pgd_at",
        "selective": {"fraction": 0.4, "warmup_epochs": 1},
        "attack_statistics": "running",
    },
    "far rows": {"spared": True, "attack_statistics": "running"},
    "rows left out of epochs": {"schedule_unit": "step", "dynamic_pruning": {"until": 1.0}},
    "whole batches dropped": {"online": online_margin(prune_above=0.0001), "batch_size": 2},
}
"""Batches of 15 rows are not divisible by two; synthetic rows are a part of each; rows come twice in a batch."""


def fit(case: str, ranks: Ranks = ALONE, **changes: Any) -> TrainingResult:
    recipe = {"epochs": 3, "samples_per_epoch": 60, "batch_size": 15, "crop_padding": 1, "attack_steps": 3}
    values = {**recipe, "synthetic_fraction": 0.6, "averaging_warmup": 0.2, **CASES[case], **changes}
    keys = ("online", "architecture", "signed", "norm", "spared")
    online, name, is_signed, norm, is_spared = (values.pop(key, None) for key in keys)
    # Smooth: where a ReLU has its kink, one input gradient may jump with the last bit of a weight.
    architecture = (
        ArchitectureSettings(name=name, width=4, activation="silu")
        if name
        else ArchitectureSettings(name="mlp", width=16)
    )
    settings = read_training(
        {key: value for key, value in {"devices": ranks.count, **values}.items() if value is not None}
    )
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 3
    images = (30 + 60 * labels[:, None, None, None] + generator.integers(60, size=(40, 8, 8, 1))).astype(np.uint8)
    rows = np.flatnonzero(np.arange(40) % 5 != 0)
    source = (np.arange(40) >= 34).astype(np.uint8)
    epsilons = generator.uniform(-0.1, 0.2, len(rows)) if is_signed else np.full(len(rows), 0.1)
    steps = np.arange(len(rows)) % 4 if is_spared else None
    data = TrainingRows(images, labels, source, rows, epsilons.astype(np.float32), (8, 8, 1), steps)
    track = {**TRACK, "loss": {**TRACK["loss"], **({"inputs": "clean"} if case == "natural" else {})}}
    threat, gathered = (
        ThreatSettings(norm=norm or "linf", epsilon=0.1),
        TrackSettings.model_validate({**track, "batch_size": 7}),
    )
    model = build_model(architecture, (8, 8, 1), 3)
    return train_on_rows(model, data, Recipe(settings, threat, gathered, online), where=Execution(ranks=ranks))


def numbers(result: TrainingResult) -> dict[str, Tensor]:
    """Return everything a training gives, by name."""
    history = result.history.drop(columns="split")
    found = {f"history {name}": torch.tensor(history[name].to_numpy(np.float64)) for name in history}
    found |= {f"weights {name}": values for name, values in result.model.state_dict().items()}
    found |= {f"track {name}": torch.from_numpy(part.values) for name, part in result.track.quantities.items()}
    assert result.track.visits is not None
    visits = {"count": result.track.visits.count, "wrong": result.track.visits.wrong}
    return found | {f"visits {name}": torch.from_numpy(values) for name, values in visits.items()}


@pytest.fixture(scope="module")
def of_ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Tensor]]]:
    """Return what each of two processes has, by case."""
    folder = tmp_path_factory.mktemp("ranks")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    launch += [f"--log-dir={folder}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, __file__, str(folder)], cwd=ROOT, env=environment, check=True, timeout=300)
    return [torch.load(folder / str(rank)) for rank in range(2)]


def test_shares_are_the_whole_batch_in_order() -> None:
    for num_rows in (4, 7, 12):
        shares = [Ranks(rank, 4).share(num_rows) for rank in range(4)]
        assert [row for share in shares for row in range(num_rows)[share]] == list(range(num_rows))
        assert (
            max(share.stop - share.start for share in shares) - min(share.stop - share.start for share in shares) <= 1
        )


def test_a_layer_made_from_batch_norm_is_refused() -> None:
    class Own(nn.BatchNorm2d):
        pass

    with pytest.raises(
        ConfigError, match=r"expected BatchNorm layers of torch with training\.devices 2, got .* Own; set"
    ):
        share_statistics(nn.Sequential(Own(3)), Ranks(0, 2), torch.device("cpu"))


def test_a_network_that_draws_random_numbers_is_refused() -> None:
    message = "expected a network that draws no random numbers with training.devices 2"
    with pytest.raises(ConfigError, match=message), Ranks(0, 2).without_random_numbers(torch.device("cpu")):
        nn.Dropout(0.5)(torch.ones(4))


def test_one_process_does_not_train_what_is_meant_for_two() -> None:
    with pytest.raises(ConfigError, match=r"expected training.devices 1, as many as processes train here, got 2"):
        fit("natural", devices=2)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_as_one_does(case: str, of_ranks: list[dict[str, dict[str, Tensor]]]) -> None:
    expected = numbers(fit(case))
    for found in of_ranks:
        assert found[case].keys() == expected.keys()
        for name, values in expected.items():
            torch.testing.assert_close(found[case][name], values, rtol=1e-4, atol=1e-5, equal_nan=True, msg=name)


def test_some_batches_of_two_rows_are_dropped_whole() -> None:
    history = fit("whole batches dropped").history
    assert (history.num_dropped > 15).all()


if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined_ranks("cpu") as joined:
        torch.save({case: numbers(fit(case, joined)) for case in CASES}, Path(sys.argv[1]) / str(joined.rank))
