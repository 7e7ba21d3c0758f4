"""Studies to browse: 10,000 rows with colours, and 60 images that were files."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pumalib.data.datasets import prepare_dataset
from pumalib.data.pool import build_pool, open_pool
from pumalib.data.settings import DatasetSettings, FolderSettings, NpzDatasetSettings, NpzSyntheticSettings
from pumalib.files.origin import Input, Maker
from pumalib.scores.table import ScoreTable, write_scores
from pumalib.selection.settings import SelectionSettings
from pumalib.selection.stage import make_selection
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic

THREAT = {"norm": "linf", "epsilon": 0.1}


def large(folder: Path) -> Path:
    """Make a pool of 4,000 real and 6,000 synthetic rows in ten classes; return the selection that drops a fifth."""
    folder.mkdir(parents=True)
    for name, count in (("train", 4000), ("test", 20), ("generated", 6000)):
        images = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3), np.uint8)
        np.savez(folder / f"{name}.npz", image=images, label=np.arange(count) % 10)
    classes = tuple(f"class {letter}" for letter in "ABCDEFGHIJ")
    settings = NpzDatasetSettings(
        train=str(folder / "train.npz"), test=str(folder / "test.npz"), class_names=classes, validation_fraction=0.0
    )
    synthetic = folder / "synthetic/mine/seed0.h5"
    _prepare(folder, settings)
    inputs = SyntheticInputs(folder / "datasets/mine/seed0.h5", None, None, 0, "cpu")
    make_synthetic(NpzSyntheticSettings(path=str(folder / "generated.npz")), inputs, synthetic, Maker({}, folder))
    return _select(folder, synthetic, np.random.default_rng(7).normal(0.1, 0.2, 10_000))


def of_files(folder: Path) -> Path:
    """Make a pool of 60 files in two classes; return the selection that drops a fifth."""
    for split, count in (("train", 30), ("test", 2)):
        for name in ("cat", "dog & co"):
            (folder / "images" / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = np.random.default_rng(number).integers(0, 256, (100, 100, 3), np.uint8)
                Image.fromarray(pixels).save(folder / "images" / split / name / f"{number:02}.png")
    _prepare(folder, FolderSettings(path=str(folder / "images"), image_size=96))
    return _select(folder, None, np.linspace(-0.3, 0.29, 60))


def _prepare(folder: Path, settings: DatasetSettings) -> None:
    path = folder / "datasets/mine/seed0.h5"
    path.parent.mkdir(parents=True)
    prepare_dataset(settings, 0, folder, path)


def _select(folder: Path, synthetic: Path | None, margins: NDArray[np.float64]) -> Path:
    """Build the pool, write its margins, and drop the easiest fifth."""
    pool, score, selection = (folder / f"{name}/mine/seed0.h5" for name in ("pools", "scores", "selections"))
    build_pool(folder / "datasets/mine/seed0.h5", synthetic, pool, {}, Maker({}, folder))
    write_margins(pool, score.parent.with_name("margin") / score.name, margins)
    settings = {
        "prune": [{"by": "margin", "drop": "easiest", "fraction": 0.2}],
        "epsilon": {"policy": "margin", "score": "margin"},
        "threat": THREAT,
        "synthetic_fraction": 0.5,
    }
    scores = {"margin": folder / "scores/margin/seed0.h5"}
    wanted = SelectionSettings.model_validate(settings)
    make_selection(wanted, seed=0, pool=pool, scores=scores, output=selection, maker=Maker({}, folder))
    return selection


def write_margins(pool_path: Path, path: Path, margins: NDArray[np.float64]) -> None:
    """Write margins as if a model had been asked; it denies the label where one is negative."""
    pool = open_pool(pool_path)
    table = ScoreTable(
        score=margins.astype(np.float32),
        valid=np.ones(len(margins), bool),
        higher_is="easier",
        unit="pixel scale [0, 1]",
        method="deepfool",
        norm="linf",
        pool_fingerprint=pool.fingerprint,
        columns={"prediction": np.where(margins < 0, (pool.labels + 1) % len(pool.class_names), pool.labels)},
    )
    folder = path.parents[2]
    write_scores(table, path, Maker({}, folder).origin({}, {"pool": Input(pool_path, pool.fingerprint)}))
