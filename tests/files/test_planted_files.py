"""Files that would run code if they were unpickled, planted wherever a study reads files: none runs, each is told."""

import hashlib
import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets

from pumalib.cli.main import main
from pumalib.data.datasets import prepare_dataset
from pumalib.data.settings import NpzDatasetSettings, TorchvisionSettings
from pumalib.data.sources.npz import read_npz
from pumalib.errors import PumaError
from pumalib.jobs.states import SCHEMA, StateFile, StatePlace
from pumalib.models.imported import load_checkpoint
from pumalib.models.trained import load_trained
from pumalib.scores.table import read_scores
from pumalib.study.file import load_merged_study, load_study


class Harm:
    """Pickles into a call that makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return (Path.touch, (self.mark,))


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """Return the file that is there once planted code has run, after making sure that it would."""
    mark = tmp_path / "HARMED"
    pickle.loads(pickle.dumps(Harm(mark)))
    assert mark.exists()
    mark.unlink()
    return mark


def plant_npz(folder: Path, harm: Harm) -> Path:
    objects = np.empty(2, object)
    objects[:] = [harm, harm]
    np.savez(folder / "planted.npz", image=objects, label=objects, allow_pickle=True)
    with pytest.raises(AttributeError):  # it ran: a path of None has no shape
        np.load(folder / "planted.npz", allow_pickle=True)["image"][0].shape  # noqa: B018
    harm.mark.unlink()
    return folder / "planted.npz"


def plant_torch(folder: Path, harm: Harm, name: str) -> Path:
    torch.save({"state_dict": {"layer.weight": torch.zeros(2)}, "harm": harm}, folder / name)
    return folder / name


def plant_bytes(folder: Path, harm: Harm, name: str) -> Path:
    (folder / name).write_bytes(pickle.dumps(harm))
    return folder / name


def plant_safetensors(folder: Path, harm: Harm) -> Path:
    """Plant the outer form of safetensors, with a pickle for tensors."""
    payload = pickle.dumps(harm)
    head = json.dumps({"w": {"dtype": "PICKLE", "shape": [1], "data_offsets": [0, len(payload)]}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + payload)
    return folder / "model.safetensors"


def dataset_of_npz(folder: Path, harm: Harm) -> None:
    settings = NpzDatasetSettings(
        source="npz", train=str(plant_npz(folder, harm)), test=None, split="seeded", test_fraction=0.5
    )
    prepare_dataset(settings, 0, folder, folder / "out.h5")


def dataset_of_cifar(folder: Path, harm: Harm) -> None:
    """Every file that torchvision would unpickle; what it then asks the network for is not there."""
    base = folder / "cifar-10-batches-py"
    base.mkdir()
    for name in [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch", "batches.meta"]:
        plant_bytes(base, harm, name)
    prepare_dataset(TorchvisionSettings(source="cifar10"), 0, folder, folder / "out.h5")


def dataset_of_mnist(folder: Path, harm: Harm) -> None:
    """What older versions of torchvision kept, and newer ones read still."""
    base = folder / "MNIST/processed"
    base.mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        plant_torch(base, harm, name)
    prepare_dataset(TorchvisionSettings(source="mnist"), 0, folder, folder / "out.h5")


WAYS: dict[str, Callable[[Path, Harm], Any]] = {
    "npz of a dataset": dataset_of_npz,
    "npz of a synthetic set": lambda folder, harm: read_npz(plant_npz(folder, harm), 1),
    "CIFAR": dataset_of_cifar,
    "MNIST": dataset_of_mnist,
    "checkpoint .pt": lambda folder, harm: load_checkpoint(plant_torch(folder, harm, "a.pt"), "mlp", (4, 4, 1), 2),
    "checkpoint .pth, a bare pickle": lambda folder, harm: load_checkpoint(
        plant_bytes(folder, harm, "a.pth"), "mlp", (4, 4, 1), 2
    ),
    "checkpoint .safetensors": lambda folder, harm: load_checkpoint(
        plant_safetensors(folder, harm), "mlp", (4, 4, 1), 2
    ),
    "weights of a run": lambda folder, harm: load_trained(plant_safetensors(folder, harm), "cpu"),
    "weights of a run, a bare pickle": lambda folder, harm: load_trained(
        plant_bytes(folder, harm, "model.safetensors"), "cpu"
    ),
    "score table": lambda folder, harm: read_scores(plant_bytes(folder, harm, "a.h5")),
}


@pytest.mark.parametrize("way", WAYS)
def test_planted_pickle_is_refused_and_does_not_run(
    tmp_path: Path, mark: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{tmp_path.as_uri()}/none.tar.gz")
    with pytest.raises(PumaError, match="expected"):
        WAYS[way](tmp_path, Harm(mark))
    assert not mark.exists()
    assert not (tmp_path / "out.h5").exists()


def test_planted_state_is_left_unused_and_does_not_run(tmp_path: Path, mark: Path) -> None:
    """The state has the right key, and a digest that fits."""
    payload = plant_torch(tmp_path, Harm(mark), "state").read_bytes()
    for planted in (payload, pickle.dumps(Harm(mark), protocol=2)):
        head = {"schema": SCHEMA, "key": "key", "digest": hashlib.sha256(planted).hexdigest()}
        (tmp_path / "state").write_bytes(json.dumps(head).encode() + b"\n" + planted)
        assert StateFile(StatePlace(tmp_path / "state"), "key").load() is None
    assert not mark.exists()


@pytest.mark.parametrize("command", ["inspect", "show", "trace", "compare"])
@pytest.mark.parametrize("name", ["seed0.h5", "model.safetensors", "results.csv", "a.npz"])
def test_command_line_tells_of_a_planted_file_and_does_not_run_it(
    tmp_path: Path, mark: Path, capsys: pytest.CaptureFixture[str], command: str, name: str
) -> None:
    path = str(plant_bytes(tmp_path, Harm(mark), name))
    more = {"show": ["--out", str(tmp_path / "a.png")], "compare": [path]}.get(command, [])
    assert main([command, path, *more]) == 1
    assert capsys.readouterr().err.startswith("Error: expected")
    assert not mark.exists()


def study_with_tags(mark: Path) -> str:
    return f'study: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ["{mark}"]]\n'


def study_with_a_template(mark: Path) -> str:
    return f"__use_yte__: true\nstudy: ?__import__('pathlib').Path('{mark}').touch() or 'a'\nseeds: [0]\n"


@pytest.mark.parametrize("write", [study_with_tags, study_with_a_template])
def test_study_file_with_code_is_refused_and_does_not_run(
    tmp_path: Path, mark: Path, capsys: pytest.CaptureFixture[str], write: Callable[[Path], str]
) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(write(mark))
    assert main(["check", str(study)]) == 1
    assert capsys.readouterr().err.startswith("Error: expected ")
    with pytest.raises(PumaError, match="expected"):
        load_study(study)
    with pytest.raises(PumaError, match="expected"):  # as the workflow does, after Snakemake has read it
        load_merged_study({"study": "a", "seeds": [0]}, [study])
    assert not mark.exists()


def test_unpacked_files_of_mnist_are_held_to_the_published_ones(tmp_path: Path) -> None:
    """torchvision reads what is unpacked without a look at its content."""
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 20), ("t10k", 10)):
        images, labels = np.zeros((count, 28, 28), np.uint8), np.arange(count, dtype=np.uint8) % 10
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">iiii", 0x803, count, 28, 28) + images.tobytes())
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">ii", 0x801, count) + labels.tobytes())
    assert len(torchvision.datasets.MNIST(str(tmp_path))) == 20
    with pytest.raises(
        PumaError, match=r"expected the published file train-images-idx3-ubyte of mnist, got other bytes"
    ):
        prepare_dataset(TorchvisionSettings(source="mnist"), 0, tmp_path, tmp_path / "out.h5")
