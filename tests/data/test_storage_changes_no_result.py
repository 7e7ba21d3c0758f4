"""The bytes of files, decoded as they are needed, give every result that pixels give, bit by bit."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from pumalib.attacks.settings import CwPgdSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.decoding import View
from pumalib.data.encoded_images import EncodedImages
from pumalib.evaluation.evaluate import evaluate
from pumalib.evaluation.stage import attack_model
from pumalib.evaluation.table import read_attack
from pumalib.models.trained import load_trained
from pumalib.scores.table import read_scores
from pumalib.study.study import Study, parse_study
from tests.golden.workflow import Workflow
from tests.photographs import jpeg, put


def study_of(root: Path, storage: str) -> Study:
    return parse_study(
        {
            "study": f"large-{storage}",
            "seeds": [0],
            "threat": {"norm": "linf", "epsilon": 0.05},
            "datasets": {
                "photographs": {
                    "source": "folder", "path": str(root / "real"), "image_size": 12, "storage": storage,
                    "split": "seeded", "test_fraction": 0.25, "validation_fraction": 0.2,
                }
            },
            "pools": {
                "both": {
                    "dataset": "photographs",
                    "synthetic": {"method": "folder", "path": str(root / "generated"), "storage": storage, "count": 9},
                },
                "learned": {"learned": {"pool": "both", "method": "robust_features", "model": "trades", "steps": 2}},
            },
            "defaults": {
                "pool": "both",
                "architecture": {"name": "mlp", "width": 8},
                "training": {
                    "method": "trades", "epochs": 2, "samples_per_epoch": 40, "batch_size": 8, "attack_steps": 1,
                    "random_resized_crop": {"scale": [0.3, 1.0]}, "horizontal_flip": True, "device_images_gib": 0,
                },
            },
            "scores": {"margin": {"method": "deepfool", "model": "trades", "shards": 2}},
            "runs": {
                "trades": {"track": {"loss": {"augmented": True}}},
                "puma": {"prune": [{"by": "margin", "drop": "easiest", "fraction": 0.2}]},
            },
            "attacks": {"cw": {"method": "cw_pgd", "steps": 3, "batch_size": 4}},
        }
    )  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(30):
        put(tmp_path, f"real/{'ab'[number % 2]}/{number}.jpg", jpeg(number, 20, 16))
        put(tmp_path, f"generated/{'ab'[number % 2]}/{number}.jpg", jpeg(100 + number, 12, 12))
    return tmp_path


def found(root: Path, storage: str) -> dict[str, Any]:
    torch.set_num_threads(1)
    workflow = Workflow(study_of(root, storage), root / "results")
    files = {name: make() for name, make in workflow.files().items()}
    return {
        "margins": read_scores(files["score/margin"]).score,
        **{f"weights of {run}": load_file(files[f"model/{run}"]) for run in ("trades", "puma")},
        "track": files["track/trades"],
        "attack": read_attack(files["attack/puma/cw"]),
        "learned": files["learned/learned"],
        "results": pd.read_csv(files["results"]).drop(columns="study", errors="ignore"),
        "encoded": files["pool/both"],
    }


def test_every_stage_gives_the_same_with_encoded_and_with_decoded_images(root: Path) -> None:
    import h5py

    encoded, decoded = found(root, "encoded"), found(root, "decoded")
    np.testing.assert_array_equal(encoded["margins"], decoded["margins"])
    for run in ("trades", "puma"):
        ours, other = encoded[f"weights of {run}"], decoded[f"weights of {run}"]
        assert all(torch.equal(ours[name], other[name]) for name in other)
    for column in ("clean_prediction", "adversarial_prediction", "label"):
        np.testing.assert_array_equal(getattr(encoded["attack"], column), getattr(decoded["attack"], column))
    with h5py.File(encoded["track"]) as ours, h5py.File(decoded["track"]) as other:
        np.testing.assert_array_equal(ours["loss"][...], other["loss"][...])
    with h5py.File(encoded["learned"]) as ours, h5py.File(decoded["learned"]) as other:
        np.testing.assert_array_equal(ours["images"][...], other["images"][...])
    pd.testing.assert_frame_equal(encoded["results"], decoded["results"])
    with h5py.File(encoded["encoded"]) as pool:
        assert "images" not in pool
        assert "labels" in pool


class CountedFiles:
    """Files in memory, and which of them were read since they were last asked for."""

    def __init__(self, contents: list[bytes]) -> None:
        self.contents, self.most = contents, 0
        self._since: set[int] = set()

    def read(self, number: int) -> bytes:
        self._since.add(number)
        self.most = max(self.most, len(self._since))
        return self.contents[number]

    def lengths(self, numbers: np.ndarray) -> np.ndarray:
        return np.array([len(self.contents[number]) for number in numbers], np.int64)

    def sizes(self, numbers: np.ndarray) -> np.ndarray:
        return np.full((len(numbers), 2), 12, np.int32)

    def name(self, number: int) -> str:
        return str(number)

    def ask_for(self, numbers: np.ndarray) -> None:
        self._since = set()


def test_an_attack_reads_no_more_than_a_batch_at_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workflow = Workflow(study_of(root, "encoded"), root / "results")
    model, dataset = workflow.model("trades"), workflow.dataset("photographs")
    files = CountedFiles([jpeg(number, 12, 12) for number in range(40)])
    numbers = np.arange(40)
    images = EncodedImages(files, numbers, View(12, 3))
    from pumalib.data import datasets
    from pumalib.data.images import LabelledImages

    monkeypatch.setattr("pumalib.evaluation.stage.read_split", lambda path, split: LabelledImages(images, numbers % 2))
    assert datasets.has_split(dataset, "test")
    settings, threat = CwPgdSettings(steps=2, batch_size=7), ThreatSettings(epsilon=0.05)
    attack_model(settings, threat, dataset=dataset, model_path=model, output=root / "a.h5", seed=0, device="cpu")
    assert files.most == 16  # the first ones, on which the network is tried; then 7 at a time
    whole = images[:].astype(np.float32).transpose(0, 3, 1, 2) / 255
    table = evaluate(load_trained(model, "cpu").model, whole, numbers % 2, settings, threat=threat)
    np.testing.assert_array_equal(read_attack(root / "a.h5").adversarial_prediction, table.adversarial_prediction)
