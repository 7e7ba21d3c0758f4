"""The files that a training reads, small: dark and bright images."""

from pathlib import Path

import numpy as np

from pumalib.data.datasets import write_images
from pumalib.data.images import LabelledImages
from pumalib.data.pool import build_pool
from pumalib.files.artifacts import create_artifact
from pumalib.selection.settings import SelectionSettings
from pumalib.selection.stage import make_selection


def write_small_pool(folder: Path) -> None:
    """Write a dataset, a pool of 40 rows of 4 x 4, and a selection of all of them at epsilon 0.1."""
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = 60 + 60 * labels[:, None, None, None] + generator.integers(90, size=(40, 4, 4, 1))
    with create_artifact(folder / "dataset.h5", "dataset") as file:
        file.attrs["class_names"] = ["dark", "bright"]
        for split in ("train", "test"):
            write_images(file.create_group(split), LabelledImages(images.astype(np.uint8), labels))
    build_pool(folder / "dataset.h5", None, folder / "pool.h5", {})
    settings = SelectionSettings.model_validate(
        {"prune": [], "epsilon": {"policy": "fixed"}, "threat": {"epsilon": 0.1}, "synthetic_fraction": 0.5}
    )
    make_selection(settings, seed=0, pool=folder / "pool.h5", scores={}, output=folder / "selection.h5")
