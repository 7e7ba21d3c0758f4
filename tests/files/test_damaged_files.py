"""Files of every kind, cut short or with changed bits: refused, or as they were; never another number or error."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pumalib.attacks.settings import CleanSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.datasets import read_split, write_images
from pumalib.data.images import LabelledImages
from pumalib.data.pool import build_learned_pool, build_pool, open_pool
from pumalib.data.selection import read_selection
from pumalib.errors import PumaError
from pumalib.evaluation.stage import attack_model
from pumalib.evaluation.table import read_attack
from pumalib.files.artifacts import create_artifact
from pumalib.files.digests import seal
from pumalib.jobs.states import StateFile, StatePlace
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import load_trained, save_trained
from pumalib.scores.table import ScoreTable, read_scores, write_scores
from pumalib.selection.settings import SelectionSettings
from pumalib.selection.stage import make_selection
from pumalib.tracks.file import Quantity, Track, Visits, read_track, write_track

SHAPE = (4, 4, 1)
ARCHITECTURE = ArchitectureSettings(name="mlp", width=8)
SELECTION = {
    "prune": [{"by": "margin", "drop": "easiest", "fraction": 0.2}],
    "epsilon": {"policy": "fixed"},
    "threat": {"norm": "linf", "epsilon": 0.1},
    "synthetic_fraction": 0.5,
}


def rows(seed: int, count: int) -> LabelledImages:
    generator = np.random.default_rng(seed)
    return LabelledImages(generator.integers(0, 256, (count, *SHAPE), np.uint8), np.arange(count) % 3)


def write_study(folder: Path, seed: int) -> None:
    """Write a file of every kind."""
    with create_artifact(folder / "dataset.h5", "dataset") as file:
        file.attrs["class_names"] = ["a", "b", "c"]
        for number, name in enumerate(("train", "test")):
            write_images(file.create_group(name), rows(seed + 3 + number, 30))
    with create_artifact(folder / "synthetic.h5", "synthetic") as file:
        write_images(file, rows(seed + 1, 12))
    with create_artifact(folder / "learned.h5", "learned") as file:
        file.attrs["class_names"] = ["a", "b", "c"]
        write_images(file, rows(seed + 2, 12))
        file.create_dataset("source", data=np.zeros(12, np.uint8))
    build_pool(folder / "dataset.h5", folder / "synthetic.h5", folder / "pool.h5", {})
    pool = open_pool(folder / "pool.h5").fingerprint
    generator = np.random.default_rng(seed)
    margins, converged = generator.random(42).astype(np.float32), {"converged": np.ones(42, bool)}
    table = ScoreTable(margins, np.ones(42, bool), "easier", "pixels", "deepfool", pool, "m", "linf", columns=converged)
    write_scores(table, folder / "scores.h5")
    quantity = Quantity(np.arange(1, 3), generator.random((2, 42)).astype(np.float32))
    track = Track(42, {"loss": quantity}, Visits(np.arange(42, dtype=np.int32), np.zeros(42, np.int32)))
    write_track(track, folder / "track.h5", pool)
    make_selection(
        SelectionSettings.model_validate(SELECTION),
        seed=seed,
        pool=folder / "pool.h5",
        scores={"margin": folder / "scores.h5"},
        output=folder / "selection.h5",
    )
    network = build_model(ARCHITECTURE, SHAPE, 3, seed)
    save_trained(network, folder / "model.safetensors", ARCHITECTURE, SHAPE, ("a", "b", "c"))
    attack_model(
        CleanSettings(method="clean"),
        ThreatSettings(epsilon=0.1),
        dataset=folder / "dataset.h5",
        model_path=folder / "model.safetensors",
        output=folder / "attack.h5",
        seed=seed,
        device="cpu",
    )
    StateFile(StatePlace(folder / "run.state", 0), f"key {seed}").offer(lambda: {"step": seed, "w": torch.arange(40.0)})


def pool_of(folder: Path) -> str:
    return open_pool(folder / "pool.h5").fingerprint


def read_pool(folder: Path) -> Any:
    pool = open_pool(folder / "pool.h5")
    return pool.images[:], pool.labels, pool.source, pool.class_names, pool.fingerprint


def pool_over_synthetic(folder: Path) -> Any:
    build_pool(folder / "dataset.h5", folder / "synthetic.h5", folder / "made.h5", {})
    return open_pool(folder / "made.h5").images[:]


def pool_over_learned(folder: Path) -> Any:
    build_learned_pool(folder / "learned.h5", folder / "made.h5", {})
    return open_pool(folder / "made.h5").images[:]


def read_state(folder: Path) -> Any:
    with torch.random.fork_rng(devices=[]):
        return StateFile(StatePlace(folder / "run.state"), "key 0").load()


@dataclass(frozen=True)
class Kind:
    """A kind of file, and what its readers get from it."""

    name: str
    read: Callable[[Path], Any]


KINDS = [
    Kind("dataset.h5", lambda folder: read_split(folder / "dataset.h5", "train")),
    Kind("synthetic.h5", pool_over_synthetic),
    Kind("learned.h5", pool_over_learned),
    Kind("pool.h5", read_pool),
    Kind("scores.h5", lambda folder: read_scores(folder / "scores.h5", pool_of(folder))),
    Kind("track.h5", lambda folder: read_track(folder / "track.h5", pool_of(folder))),
    Kind("selection.h5", lambda folder: read_selection(folder / "selection.h5", pool_of(folder))),
    Kind("attack.h5", lambda folder: read_attack(folder / "attack.h5")),
    Kind("model.safetensors", lambda folder: load_trained(folder / "model.safetensors", "cpu").model.state_dict()),
    Kind("run.state", read_state),
]
BY_NAME = {kind.name: kind for kind in KINDS}


def assert_same(found: Any, expected: Any) -> None:
    if isinstance(expected, torch.Tensor):
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            assert_same(found[name], expected[name])
    elif is_dataclass(expected):
        for column in fields(expected):
            assert_same(getattr(found, column.name), getattr(expected, column.name))
    elif isinstance(expected, tuple):
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_same(a, b)
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    write_study(folder, 0)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files of another study: another seed, and so another pool."""
    folder = tmp_path_factory.mktemp("other")
    write_study(folder, 7)
    return folder


def read_damaged(study: Path, kind: Kind, content: bytes) -> Any:
    """Read a file with other content in its place; None where it is refused or not used."""
    path = study / kind.name
    whole = path.read_bytes()
    try:
        path.write_bytes(content)
        return kind.read(study)
    except PumaError:
        return None
    finally:
        path.write_bytes(whole)


@pytest.mark.slow
@settings(max_examples=800, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.sampled_from(sorted(BY_NAME)), harm=st.sampled_from(["cut", "flip", "flips"]), data=st.data())
def test_damaged_file_is_refused_or_holds_what_was_written(study: Path, name: str, harm: str, data: Any) -> None:
    kind = BY_NAME[name]
    content = bytearray((study / name).read_bytes())
    if harm == "cut":
        del content[data.draw(st.integers(0, len(content) - 1), label="length") :]
    else:
        for _ in range(1 if harm == "flip" else 20):
            bit = data.draw(st.integers(0, 8 * len(content) - 1), label="bit")
            content[bit // 8] ^= 1 << bit % 8
    found = read_damaged(study, kind, bytes(content))
    if found is not None:
        assert_same(found, kind.read(study))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_byte_that_a_reader_relies_on_is_watched(study: Path, kind: Kind) -> None:
    """Change some bits at regular distances, so that no part of any file is left out by chance."""
    content = (study / kind.name).read_bytes()
    expected = kind.read(study)
    refused = 0
    for place in range(0, len(content), max(1, len(content) // 40)):
        changed = bytearray(content)
        changed[place] ^= 0x55
        found = read_damaged(study, kind, bytes(changed))
        refused += found is None
        if found is not None:
            assert_same(found, expected)
    assert refused > 3


BOUND_TO_A_POOL = ["scores.h5", "track.h5", "selection.h5"]


@pytest.mark.parametrize("name", [*BOUND_TO_A_POOL, "synthetic.h5 in its pool", "run.state"])
def test_file_of_another_study_is_refused(study: Path, other: Path, name: str) -> None:
    kind = BY_NAME["pool.h5"] if name.endswith("in its pool") else BY_NAME[name]
    path = study / name.split()[0]
    whole = path.read_bytes()
    try:
        path.write_bytes((other / path.name).read_bytes())
        if name == "run.state":
            assert kind.read(study) is None
        else:
            with pytest.raises(PumaError, match="it was made for another"):
                kind.read(study)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name.endswith(".h5")], ids=lambda kind: kind.name)
def test_file_of_another_schema_version_is_refused(study: Path, kind: Kind) -> None:
    path = study / kind.name
    whole = path.read_bytes()
    try:
        with h5py.File(path, "r+") as file:
            file.attrs["schema_version"] = 99
        seal(path)
        with pytest.raises(PumaError, match=r"expected version 1 or 2 of puma\.\w+, got 99 at .*make it again"):
            kind.read(study)
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_one_changed_bit_of_a_number_is_noticed(study: Path, kind: Kind) -> None:
    """Change a bit of the longest run of numbers, where neither HDF5 nor safetensors would notice."""
    if kind.name == "pool.h5":  # its numbers stand in the files it is made of
        path, content = study / "synthetic.h5", (study / "synthetic.h5").read_bytes()
        place = content.index(rows(1, 12).labels.tobytes())
        kind = Kind("synthetic.h5", kind.read)
    else:
        path, content = study / kind.name, (study / kind.name).read_bytes()
        place = content.index(payload_of(kind.read(study)))
    assert path.read_bytes() == content
    changed = bytearray(content)
    changed[place + 2] ^= 1
    assert read_damaged(study, kind, bytes(changed)) is None


def payload_of(found: Any) -> bytes:
    """Return the bytes of the first array in what a reader got."""
    if isinstance(found, dict):
        return next(payload_of(value) for value in found.values() if isinstance(value, torch.Tensor | np.ndarray))
    if isinstance(found, Track):
        return payload_of(found.quantities["loss"].values)
    if is_dataclass(found) and not isinstance(found, type):
        return payload_of(getattr(found, fields(found)[0].name))
    return bytes(np.ascontiguousarray(found[-12:] if found.ndim == 4 else found).tobytes())
