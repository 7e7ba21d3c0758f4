"""Points that an attack keeps: a network written out in NumPy says what the table says, and changes are told."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pumalib.attacks.settings import (
    AttackSettings,
    CleanSettings,
    CwPgdSettings,
    MinimumNormSettings,
    PgdSettings,
    SquareSettings,
    WorstOfSettings,
)
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.cli.main import main
from pumalib.data.datasets import write_images
from pumalib.data.images import LabelledImages
from pumalib.errors import ArtifactError
from pumalib.evaluation.evaluate import evaluate
from pumalib.evaluation.recheck import Recheck, recheck
from pumalib.evaluation.stage import attack_model
from pumalib.evaluation.worst_of import write_worst_case
from pumalib.files.artifacts import create_artifact
from pumalib.files.digests import seal
from pumalib.files.origin import Maker
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import save_trained

SHAPE, COUNT, NAMES = (6, 6, 1), 80, ("a", "b", "c", "d")
ARCHITECTURE = ArchitectureSettings(name="mlp", width=16)
EPSILON = 0.04
ATTACKS: dict[str, AttackSettings] = {
    "cw": CwPgdSettings(steps=5, restarts=2, keep_points=True),
    "screened": PgdSettings(steps=5, screening="bfloat16", keep_points=True),
    "square": SquareSettings(queries=20, keep_points=True),
    "shortest": MinimumNormSettings(keep_points=True),
    "clean": CleanSettings(keep_points=True),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model and a dataset, of which the model has four images in five right; and a table of each attack."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("points")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(ARCHITECTURE, SHAPE, len(NAMES))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape) / 3)
    images = np.random.default_rng(0).integers(0, 256, (COUNT, *SHAPE), np.uint8)
    with torch.no_grad():  # as many images of each class, nearly
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
        model.classifier.bias -= model(pixels).mean(0)
    save_trained(model, folder / "model", ARCHITECTURE, SHAPE, NAMES)
    labels = logits(folder, images.astype(np.float32) / 255).argmax(1)
    labels[::5] = (labels[::5] + 1) % len(NAMES)
    with create_artifact(folder / "data.h5", "dataset") as file:
        file.attrs["class_names"] = list(NAMES)
        write_images(file.create_group("test"), LabelledImages(images, labels))
    for name, settings in ATTACKS.items():
        attack(folder, settings, name)
    return folder


def logits(folder: Path, images: np.ndarray) -> np.ndarray:
    """Return what the network says of images [N, H, W, C], written out with NumPy from its weights."""
    weights = {name: value.numpy() for name, value in load_file(folder / "model").items()}
    pixels = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    for layer in ("hidden1", "hidden2", "classifier"):
        pixels = pixels @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]
        pixels = pixels if layer == "classifier" else np.maximum(pixels, 0)
    return pixels


def attack(folder: Path, settings: AttackSettings, name: str) -> Path:
    places = {"dataset": folder / "data.h5", "model_path": folder / "model", "output": folder / f"{name}.h5"}
    attack_model(settings, ThreatSettings(epsilon=EPSILON), seed=3, device="cpu", maker=Maker({}, folder), **places)
    return folder / f"{name}.h5"


def columns_of(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: dataset[...] for name, dataset in file.items()}


def asked_again(folder: Path, name: str) -> Recheck:
    return recheck(folder / f"{name}.h5", model=folder / "model", dataset=folder / "data.h5")


def spoilt(study: Path, folder: Path, change: str) -> Path:
    """Return a copy of the study, in which the digest of the table `cw` was made anew after a change."""
    shutil.copytree(study, folder / "copy")
    path = folder / "copy/cw.h5"
    with h5py.File(path, "r+") as file:
        points = file["points"]
        fooled, held = (np.flatnonzero(file["success"][...] == wanted) for wanted in (True, False))
        if change == "swapped":
            points[...] = points[...][::-1]
        elif change == "far":
            points[held[:2]] += np.float32(2 * EPSILON) * np.where(points[held[:2]] > 0.5, -1, 1).astype(np.float32)
        elif change == "dark":
            points[fooled[0]] -= np.float32(1)
        elif change == "nan":
            points[3, 2, 2] = np.nan
        elif change == "flags":
            for column in ("adversarial_prediction", "success"):
                values = file[column][...]
                values[fooled[0]] = file["label"][fooled[0]] if column == "adversarial_prediction" else False
                file[column][...] = values
        elif change == "shape":
            smaller = points[...][:, 1:]
            del file["points"]
            file["points"] = smaller
    seal(path)
    return path


@pytest.mark.parametrize("name", ATTACKS)
def test_the_network_says_at_the_points_what_the_table_says(study: Path, name: str) -> None:
    table, data = columns_of(study / f"{name}.h5"), columns_of_data(study)
    points, label = table["points"], table["label"]
    assert points.dtype == np.float32
    assert points.shape == (COUNT, *SHAPE)
    predicted = logits(study, points).argmax(1)
    np.testing.assert_array_equal(predicted, table["adversarial_prediction"])
    np.testing.assert_array_equal((table["clean_prediction"] == label) & (predicted != label), table["success"])
    lengths = abs(points - data).reshape(COUNT, -1).max(1)
    assert lengths.max() <= EPSILON + 1e-7
    assert 0 <= points.min() <= points.max() <= 1
    is_wrong = table["clean_prediction"] != label
    assert is_wrong.sum() == COUNT // 5
    assert not lengths[is_wrong].any()
    stands_for = ~is_wrong if name in ("cw", "screened", "square") else table["success"]
    np.testing.assert_allclose(lengths[stands_for], table["perturbation_norm"][stands_for], atol=1e-7)
    if name != "clean":
        assert 0.1 < table["success"].mean() < 0.7


def columns_of_data(study: Path) -> np.ndarray:
    with h5py.File(study / "data.h5") as file:
        return np.asarray(file["test/images"][...], np.float32) / 255


@pytest.mark.parametrize("name", ATTACKS)
def test_asking_again_gives_the_very_same_flags(study: Path, name: str) -> None:
    found = asked_again(study, name)
    assert found.agrees.all()
    assert not found.problems
    assert str(found).startswith("the flags of 80 of 80 images agree; farthest point ")
    assert str(found).endswith("; all points in the ball and in [0, 1]")


def test_keeping_points_changes_nothing_else_and_is_off_unless_asked_for(study: Path) -> None:
    kept = columns_of(study / "cw.h5")
    plain = columns_of(attack(study, CwPgdSettings(steps=5, restarts=2), "plain"))
    assert kept.keys() - plain.keys() == {"points"}
    for name, column in plain.items():
        np.testing.assert_array_equal(column, kept[name])
    with pytest.raises(ArtifactError, match=r"expected the points .* in .*plain\.h5, got none; say `keep_points"):
        asked_again(study, "plain")


def test_the_library_gives_points_as_its_network_takes_them() -> None:
    model, images = torch.nn.Linear(2, 2).eval(), torch.tensor([[0.9, 0.3], [0.6, 0.5]])
    with torch.no_grad():
        model.weight.copy_(torch.eye(2))
        model.bias.zero_()
    settings = CwPgdSettings(steps=1, step_size=0.1, random_start=False, keep_points=True)
    table = evaluate(model, images, [0, 0], settings, threat=ThreatSettings(epsilon=0.1))
    np.testing.assert_allclose(table.points, [[0.8, 0.4], [0.5, 0.6]], atol=1e-6)
    settings = CwPgdSettings(steps=1)
    assert evaluate(model, images, [0, 0], settings, threat=ThreatSettings(epsilon=0.1)).points is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("swapped", "points outside the ball"),
        ("far", "points outside the ball: rows 0, 2"),
        ("dark", "points outside the pixel range [0, 1]: row "),
        ("flags", "flags that are not the table's: row "),
    ],
)
def test_points_and_flags_that_were_changed_are_told(study: Path, tmp_path: Path, change: str, problem: str) -> None:
    assert problem in str(asked_again(spoilt(study, tmp_path, change).parent, "cw"))


@pytest.mark.parametrize(
    ("change", "message"), [("nan", "expected a finite point"), ("shape", "expected rows, labels")]
)
def test_points_that_cannot_be_those_of_the_images_are_refused(
    study: Path, tmp_path: Path, change: str, message: str
) -> None:
    path = spoilt(study, tmp_path, change)
    with pytest.raises(ArtifactError, match=message):
        asked_again(path.parent, "cw")


def test_a_point_that_was_changed_without_a_new_digest_is_a_damaged_file(study: Path, tmp_path: Path) -> None:
    shutil.copytree(study, tmp_path / "copy")
    with h5py.File(tmp_path / "copy/cw.h5", "r+") as file:
        file["points"][5, 0, 0] += np.float32(0.001)
    with pytest.raises(ArtifactError, match="other bytes than were written"):
        asked_again(tmp_path / "copy", "cw")


def test_a_table_of_another_model_or_dataset_is_refused(study: Path, tmp_path: Path) -> None:
    save_trained(build_model(ARCHITECTURE, SHAPE, 4), tmp_path / "model", ARCHITECTURE, SHAPE, NAMES)
    with pytest.raises(ArtifactError, match="expected the model with fingerprint"):
        recheck(study / "cw.h5", model=tmp_path / "model", dataset=study / "data.h5")
    with create_artifact(tmp_path / "data.h5", "dataset") as file:
        file.attrs["class_names"] = list(NAMES)
        write_images(file.create_group("test"), LabelledImages(np.zeros((COUNT, *SHAPE), np.uint8), np.arange(80) % 4))
    with pytest.raises(ArtifactError, match="expected the dataset with fingerprint"):
        recheck(study / "cw.h5", model=study / "model", dataset=tmp_path / "data.h5")


def test_a_worst_case_keeps_the_point_of_the_attack_that_it_shows(study: Path) -> None:
    names = ("square", "screened", "shortest")
    settings = WorstOfSettings(method="worst_of", attacks=names, keep_points=True)
    paths, output = [study / f"{name}.h5" for name in names], study / "worst.h5"
    write_worst_case(settings, ThreatSettings(epsilon=EPSILON), paths, output, seed=3, maker=Maker({}, study))
    tables, worst = [columns_of(path) for path in paths], columns_of(output)
    shown = [next((i for i, table in enumerate(tables) if table["success"][image]), 0) for image in range(COUNT)]
    assert set(shown) == {0, 1, 2}
    np.testing.assert_array_equal(worst["points"], [tables[i]["points"][image] for image, i in enumerate(shown)])
    assert asked_again(study, "worst").agrees.all()
    attack(study, CwPgdSettings(steps=1), "without")
    with pytest.raises(ArtifactError, match=r"expected the points of the attack in .*without\.h5, got none"):
        write_worst_case(settings, ThreatSettings(epsilon=EPSILON), [paths[0], study / "without.h5", paths[2]],
                         study / "none.h5", seed=3)  # fmt: skip


def test_the_command_says_it_in_one_line(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recheck", str(study / "cw.h5"), "--device", "cpu"]) == 0
    assert f"{study / 'cw.h5'}: the flags of 80 of 80 images agree; farthest point 0.04" in capsys.readouterr().out
    path = spoilt(study, tmp_path, "flags")
    assert main(["recheck", str(path), "--device", "cpu", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["images"], told["agree"], told["differ_by_rounding"]) == (80, 79, 0)
    assert list(told["problems"]) == ["flags that are not the table's"]
    assert main(["recheck", str(study / "data.h5")]) == 1
    assert "expected an attack table, got a dataset" in capsys.readouterr().err
