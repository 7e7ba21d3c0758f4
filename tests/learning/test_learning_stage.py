"""The learning stage on files: what it writes, and what a killed job leaves."""

import h5py
import numpy as np
import pytest

from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.datasets import write_images
from pumalib.data.images import LabelledImages
from pumalib.data.pool import build_learned_pool, build_pool, open_pool
from pumalib.files.artifacts import create_artifact
from pumalib.files.origin import Maker
from pumalib.jobs.states import StatePlace
from pumalib.learning.inputs import ignore_step
from pumalib.learning.stage import LearningPaths, learn_dataset
from tests.learning.conftest import StopError, stop_at, toy_rows


@pytest.fixture
def folder(tmp_path):
    """A dataset with validation rows, and a pool of 30 real and 10 synthetic rows."""
    rows = toy_rows(40, 0)
    real, synthetic = rows.take(np.arange(30)), rows.take(np.arange(30, 40))
    with create_artifact(tmp_path / "dataset.h5", "dataset") as file:
        file.attrs["class_names"] = ["left", "right"]
        for name in ("train", "test", "validation"):
            write_images(file.create_group(name), real)
    with create_artifact(tmp_path / "synthetic.h5", "synthetic") as file:
        write_images(file, synthetic)
    build_pool(tmp_path / "dataset.h5", tmp_path / "synthetic.h5", tmp_path / "pool.h5", settings={})
    return tmp_path


def learn_in(folder, settings, name="learned", seed=0, on_step=ignore_step, every_seconds=0):
    learn_dataset(
        settings,
        ThreatSettings(epsilon=0.1),
        LearningPaths(
            pool=folder / "pool.h5",
            dataset=folder / "dataset.h5",
            output=folder / f"{name}.h5",
            progress=folder / "logs/progress.csv",
        ),
        seed=seed,
        state_place=StatePlace(folder / "work/state", every_seconds),
        device="cpu",
        maker=Maker({"a": "1"}),
        on_step=on_step,
    )


def test_learned_pool_has_the_rows_labels_and_sources_it_started_from(folder, settings):
    learn_in(folder, settings)
    build_learned_pool(folder / "learned.h5", folder / "learned-pool.h5", {"learned": settings.model_dump()})
    start, learned = open_pool(folder / "pool.h5"), open_pool(folder / "learned-pool.h5")
    assert learned.class_names == ("left", "right")
    np.testing.assert_array_equal(learned.labels, start.labels)
    np.testing.assert_array_equal(learned.source, [0] * 30 + [1] * 10)
    assert (learned.images[:] != start.images[:]).any()
    assert learned.fingerprint != start.fingerprint
    assert not (folder / "work/state").exists()
    assert (folder / "logs/progress.csv").read_text().count("validation") == 4
    with h5py.File(folder / "learned-pool.h5") as file:  # the virtual datasets that people open
        np.testing.assert_array_equal(file["images"][...], learned.images[:])


def test_two_learnings_give_the_same_bytes(folder, settings):
    learn_in(folder, settings, "first/learned")
    learn_in(folder, settings, "second/learned")
    assert (folder / "first/learned.h5").read_bytes() == (folder / "second/learned.h5").read_bytes()


@pytest.mark.parametrize("change", ["none", "seed", "settings", "pool"])
def test_state_is_used_for_the_same_work_alone(folder, settings, change):
    learn_in(folder, settings, "whole")
    with pytest.raises(StopError):
        learn_in(folder, settings, on_step=stop_at(12))
    assert not (folder / "learned.h5").exists()
    if change == "pool":
        with create_artifact(folder / "synthetic.h5", "synthetic") as file:
            write_images(file, LabelledImages(np.zeros((3, 4, 4, 1), np.uint8), np.arange(3) % 2))
        build_pool(folder / "dataset.h5", folder / "synthetic.h5", folder / "pool.h5", settings={})
    given = settings.model_copy(update={"label_smoothing": 0.2} if change == "settings" else {})
    steps: list[int] = []
    learn_in(folder, given, seed=1 if change == "seed" else 0, on_step=steps.append, every_seconds=1000)
    assert steps[0] == (13 if change == "none" else 1)
    with h5py.File(folder / "whole.h5") as whole, h5py.File(folder / "learned.h5") as learned:
        assert (whole.attrs["schema"], whole.attrs["schema_version"]) == ("puma.learned", 2)
        assert change != "none" or (whole["images"][...] == learned["images"][...]).all()
