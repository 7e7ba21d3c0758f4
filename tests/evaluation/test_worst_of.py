"""The worst case over attacks, image by image, held to values by hand."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from pumalib.attacks.settings import WorstOfSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.errors import ArtifactError
from pumalib.evaluation.table import read_attack
from pumalib.evaluation.worst_of import write_worst_case
from pumalib.files.artifacts import create_artifact, file_fingerprint
from pumalib.files.origin import Input, Maker, Origin

WORST = WorstOfSettings(method="worst_of", attacks=("cw", "square"))
THREAT = ThreatSettings(epsilon=0.1)

# Of three images, both attacks fool image 4, only the second image 7, and image 9 is wrong when clean.
SHARED = {"row": [4, 7, 9], "label": [0, 1, 2], "clean_prediction": [0, 1, 0]}
CW = {"adversarial_prediction": [2, 1, 0], "perturbation_norm": [0.09, 0.05, 0.0]}
SQUARE = {"adversarial_prediction": [1, 0, 0], "perturbation_norm": [0.10, 0.08, 0.0]}


def write(folder: Path, name: str, columns: dict[str, Any], **changes: Any) -> Path:
    """Write an attack table by hand; `model` and `split` are other facts that a test may change."""
    facts = {"model": "m1", "split": "test", **changes}
    inputs = {
        "model": Input(folder / "model.safetensors", facts["model"]),
        "dataset": Input(folder / "data.h5", "d1", "test"),
        "selection of model": Input(None, "s1"),
    }
    table = {**SHARED, **columns}
    label, clean, attacked = (np.array(table[key]) for key in ("label", "clean_prediction", "adversarial_prediction"))
    with create_artifact(folder / f"{name}.h5", "attack", Origin(inputs=inputs)) as file:
        file.attrs["method"], file.attrs["split"] = name, facts["split"]
        for key, values in table.items():
            file[key] = np.array(values, np.float32 if key == "perturbation_norm" else np.int64)
        file["success"] = (label == clean) & (label != attacked)
    return folder / f"{name}.h5"


def worst(folder: Path, *paths: Path) -> Path:
    write_worst_case(WORST, THREAT, paths, folder / "worst.h5", seed=3, maker=Maker({"a": "b"}, folder))
    return folder / "worst.h5"


def columns_of(path: Path) -> dict[str, list[Any]]:
    with h5py.File(path) as file:
        return {name: dataset[...].tolist() for name, dataset in file.items()}


def test_an_image_is_robust_if_it_withstands_each_attack(tmp_path: Path) -> None:
    path = worst(tmp_path, write(tmp_path, "cw", CW), write(tmp_path, "square", SQUARE))
    columns = columns_of(path)
    assert columns.pop("perturbation_norm") == pytest.approx([0.09, 0.08, 0.0])
    assert columns == {
        **SHARED,
        "adversarial_prediction": [2, 0, 0],  # by cw, by square, and wrong already
        "success": [True, True, False],
    }
    table = read_attack(path)
    assert (table.method, table.split, table.selection) == ("worst_of", "test", "s1")
    assert (table.clean_accuracy, table.robust_accuracy) == (2 / 3, 0.0)


def test_an_image_that_withstands_all_shows_the_first_attack(tmp_path: Path) -> None:
    harmless = {**SQUARE, "adversarial_prediction": [1, 1, 0]}
    square, cw = write(tmp_path, "square", harmless), write(tmp_path, "cw", CW)
    columns = columns_of(worst(tmp_path, square, cw))
    assert columns["adversarial_prediction"] == [1, 1, 0]
    assert columns["success"] == [True, False, False]
    assert columns["perturbation_norm"] == pytest.approx([0.10, 0.08, 0.0])


def test_a_shortest_norm_that_fools_nothing_inside_the_ball_stays_infinite(tmp_path: Path) -> None:
    shortest = {"adversarial_prediction": [0, 1, 0], "perturbation_norm": [np.inf, 0.3, 0.0]}
    columns = columns_of(worst(tmp_path, write(tmp_path, "shortest", shortest), write(tmp_path, "cw", CW)))
    assert columns["perturbation_norm"] == pytest.approx([0.09, 0.3, 0.0])
    columns = columns_of(worst(tmp_path, tmp_path / "shortest.h5", write(tmp_path, "same", shortest)))
    assert columns["perturbation_norm"] == pytest.approx([np.inf, 0.3, 0.0])


def test_the_table_records_its_attacks_and_what_they_were_made_from(tmp_path: Path) -> None:
    paths = [write(tmp_path, "cw", CW), write(tmp_path, "square", SQUARE)]
    with h5py.File(worst(tmp_path, *paths)) as file:
        inputs, settings = json.loads(file.attrs["inputs"]), json.loads(file.attrs["settings"])
    assert inputs == {
        "model": {"fingerprint": "m1", "path": "model.safetensors"},
        "dataset": {"fingerprint": "d1", "path": "data.h5", "part": "test"},
        "selection of model": {"fingerprint": "s1"},
        "attack cw": {"fingerprint": file_fingerprint(paths[0]), "path": "cw.h5"},
        "attack square": {"fingerprint": file_fingerprint(paths[1]), "path": "square.h5"},
    }
    assert settings["attacks"] == ["cw", "square"]
    assert (settings["threat"]["epsilon"], settings["seed"]) == (0.1, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "m2"}, "expected one model"),
        ({"split": "validation"}, "expected the same images"),
        ({"row": [4, 7, 8]}, "expected the same images"),
        ({"label": [0, 1, 1]}, "expected one label per image"),
        ({"clean_prediction": [0, 1, 1], "adversarial_prediction": [1, 0, 1]}, "expected one clean prediction"),
        ({"perturbation_norm": [0.1, np.nan, 0.0]}, "expected a norm of at least 0 for each of 3 images"),
    ],
)
def test_tables_that_cannot_be_compared_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    facts = {key: changes.pop(key) for key in ("model", "split") if key in changes}
    other = write(tmp_path, "square", {**SQUARE, **changes}, **facts)
    with pytest.raises(ArtifactError, match=f"{message}.* make (it|them) again"):
        worst(tmp_path, write(tmp_path, "cw", CW), other)
    assert not (tmp_path / "worst.h5").exists()
