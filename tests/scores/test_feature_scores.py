"""Scores that compare the features of rows: those of a score file against features taken by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from pumalib.data.datasets import prepare_dataset
from pumalib.data.pool import build_pool, open_pool
from pumalib.data.settings import DigitsSettings
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import load_trained, save_trained
from pumalib.scores.join import join_shards
from pumalib.scores.settings import ScoreSettings
from pumalib.scores.stage import score_shard
from pumalib.scores.table import ScoreTable, read_scores

ROWS = 60


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a pool of 60 digits, and the weights of a small network."""
    folder = tmp_path_factory.mktemp("pool")
    settings = DigitsSettings(source="digits", split="seeded", test_fraction=0.9, train_count=ROWS)
    prepare_dataset(settings, 0, folder, folder / "dataset.h5")
    build_pool(folder / "dataset.h5", None, folder / "pool.h5", {})
    pool, architecture = open_pool(folder / "pool.h5"), ArchitectureSettings(name="mlp", width=16)
    network = build_model(architecture, pool.image_shape, 10, seed=0)
    save_trained(network, folder / "model.safetensors", architecture, pool.image_shape, pool.class_names)
    return folder / "pool.h5", folder / "model.safetensors"


def table_of(values: dict[str, Any], places: tuple[Path, Path], folder: Path) -> ScoreTable:
    settings: Any = TypeAdapter(ScoreSettings).validate_python({"model": "margin-model", **values})
    score_shard(settings, *places, folder / "shard.h5", shard=0, threat_norm="linf", device="cpu")
    join_shards([folder / "shard.h5"], places[0], folder / "score.h5", values)
    return read_scores(folder / "score.h5")


def features_by_hand(places: tuple[Path, Path]) -> NDArray[np.float64]:
    """Return what goes into the last layer of the network, layer by layer."""
    pool, network = open_pool(places[0]), load_trained(places[1], "cpu").model
    layers = [layer for layer in network.modules() if not list(layer.children())]
    values = torch.from_numpy(pool.images[np.arange(ROWS)]).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        for layer in layers[:-1]:
            values = layer(values)
    return values.numpy().astype(np.float64)


@pytest.mark.parametrize("center", ["median", "mean"])
def test_distance_from_the_centre_of_the_class(places: tuple[Path, Path], tmp_path: Path, center: str) -> None:
    table = table_of({"method": "class_center", "center": center, "batch_size": 7}, places, tmp_path)
    features, labels = features_by_hand(places), open_pool(places[0]).labels
    middle = {"median": np.median, "mean": np.mean}[center]
    for row in range(ROWS):
        expected = np.sqrt(((features[row] - middle(features[labels == labels[row]], axis=0)) ** 2).sum())
        assert table.score[row] == pytest.approx(expected, abs=1e-5)
    assert table.higher_is == "harder"
    assert not table.columns


def test_each_row_of_the_order_is_the_farthest_from_those_before(places: tuple[Path, Path], tmp_path: Path) -> None:
    table = table_of({"method": "k_center"}, places, tmp_path)
    features = features_by_hand(places)
    order = np.argsort(table.score)
    assert sorted(table.score) == list(range(ROWS))
    assert table.higher_is == "easier"
    distances = np.linalg.norm(features[:, None] - features, axis=2)
    for place in range(1, ROWS):
        nearest = distances[:, order[:place]].min(1)
        assert nearest[order[place]] == pytest.approx(nearest.max(), rel=1e-5)


def test_an_order_in_each_class(places: tuple[Path, Path], tmp_path: Path) -> None:
    table = table_of({"method": "k_center", "scope": "per_class", "centers": 2}, places, tmp_path)
    features, labels = features_by_hand(places), open_pool(places[0]).labels
    for label in range(10):
        rows = np.flatnonzero(labels == label)
        assert sorted(table.score[rows]) == list(range(len(rows)))
        order = rows[np.argsort(table.score[rows])]
        nearest = np.linalg.norm(features[rows][:, None] - features[order[:2]], axis=2).min(1)
        left = [nearest[rows.tolist().index(row)] for row in order[2:]]
        assert np.all(np.diff(left) <= 1e-9)  # after the two centres by distance, farthest first


def test_another_seed_starts_elsewhere(places: tuple[Path, Path], tmp_path: Path) -> None:
    first = {
        seed: int(table_of({"method": "k_center", "seed": seed}, places, tmp_path).score.argmin()) for seed in (0, 1)
    }
    assert first[0] != first[1]


def test_shards_are_refused() -> None:
    with pytest.raises(ValidationError, match="expected one shard, as rows are compared with each other, got 2"):
        TypeAdapter(ScoreSettings).validate_python({"method": "k_center", "model": "trades", "shards": 2})
