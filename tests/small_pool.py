"""The files that a training reads, small: dark and bright images."""

from pathlib import Path
from typing import Any

import numpy as np

from pumalib.data.datasets import write_images
from pumalib.data.images import LabelledImages
from pumalib.data.pool import build_pool
from pumalib.files.artifacts import create_artifact
from pumalib.selection.stage import SelectionPlan, make_selection


def write_small_pool(folder: Path) -> None:
    """Write a dataset, a pool of 40 rows of 4 x 4, and a selection of all of them at epsilon 0.1."""
    generator = np.random.default_rng(0)
    labels = np.arange(40) % 2
    images = 60 + 60 * labels[:, None, None, None] + generator.integers(90, size=(40, 4, 4, 1))
    with create_artifact(folder / "dataset.h5", "dataset", settings={}, inputs={}) as file:
        file.attrs["class_names"] = ["dark", "bright"]
        for split in ("train", "test"):
            write_images(file.create_group(split), LabelledImages(images.astype(np.uint8), labels))
    build_pool(folder / "dataset.h5", None, folder / "pool.h5", {})
    settings: dict[str, Any] = {"prune": [], "epsilon": {"policy": "fixed"}, "synthetic_fraction": 0.5}
    plan = SelectionPlan.from_settings({**settings, "threat": {"norm": "linf", "epsilon": 0.1}}, 0)
    make_selection(plan, folder / "pool.h5", {}, folder / "selection.h5", {})
