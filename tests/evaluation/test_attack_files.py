"""Attack tables on disk: the stage stores what evaluate finds, and readers refuse anything else."""

import json
import os

import h5py
import numpy as np
import pytest
import torch

from pumalib.attacks.settings import AutoattackSettings, CleanSettings, CwPgdSettings
from pumalib.attacks.threat_settings import ThreatSettings
from pumalib.data.datasets import write_images
from pumalib.data.images import LabelledImages
from pumalib.errors import ArtifactError, DataError
from pumalib.evaluation.evaluate import evaluate
from pumalib.evaluation.stage import attack_model
from pumalib.evaluation.table import read_attack
from pumalib.files.artifacts import create_artifact
from pumalib.files.digests import seal
from pumalib.files.origin import Maker
from pumalib.jobs.states import StatePlace
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import load_trained, save_trained

SHAPE = (6, 6, 1)
THREAT = ThreatSettings(epsilon=0.1)
ARCHITECTURE = ArchitectureSettings(name="convnet", width=4)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def study(tmp_path):
    """Write a model, and a dataset whose test labels are right and wrong by turns."""
    model = build_model(ARCHITECTURE, SHAPE, 3)
    save_trained(model, tmp_path / "model", ARCHITECTURE, SHAPE, ("a", "b", "c"))
    images = np.random.default_rng(0).integers(0, 256, (31, *SHAPE), np.uint8)
    labels = np.arange(31, dtype=np.int64) % 3
    with create_artifact(tmp_path / "data.h5", "dataset") as file:
        file.attrs["class_names"] = ["a", "b", "c"]
        write_images(file.create_group("test"), LabelledImages(images, labels))
        write_images(file.create_group("validation"), LabelledImages(images[:5], labels[:5]))
    return tmp_path


def attack(study, settings, output="attack.h5", **changes):
    options = {"dataset": study / "data.h5", "model_path": study / "model", "seed": 3, "device": "cpu", **changes}
    attack_model(settings, THREAT, output=study / output, **options)
    return study / output


def test_a_kept_table_is_taken_back_only_for_a_model_in_the_same_place(study):
    settings = CwPgdSettings(method="cw_pgd", steps=1)
    place = StatePlace(study / "attack.state")
    attack(study, settings, state_place=place, maker=Maker({}, study))
    os.rename(study / "model", study / "renamed")
    attack(study, settings, state_place=place, maker=Maker({}, study), model_path=study / "renamed")
    with h5py.File(study / "attack.h5") as file:
        assert json.loads(file.attrs["inputs"])["model"]["path"] == "renamed"


def test_the_stage_stores_what_evaluate_finds(study):
    settings = CwPgdSettings(method="cw_pgd", steps=4, batch_size=8)
    stored = read_attack(attack(study, settings))
    with h5py.File(study / "data.h5") as file:
        images, labels = file["test/images"][...], file["test/labels"][...]
    pixels = images.astype(np.float32).transpose(0, 3, 1, 2) / 255
    table = evaluate(load_trained(study / "model", "cpu").model, pixels, labels, settings, threat=THREAT, seed=3)
    np.testing.assert_array_equal(stored.label, labels)
    np.testing.assert_array_equal(stored.clean_prediction, table.clean_prediction)
    np.testing.assert_array_equal(stored.adversarial_prediction, table.adversarial_prediction)
    assert (stored.method, stored.split) == ("cw_pgd", "test")
    assert stored.clean_accuracy == table.clean_accuracy
    assert stored.robust_accuracy == table.robust_accuracy


def test_only_the_images_asked_for_are_attacked(study):
    clean = CleanSettings(method="clean", num_images=7)
    assert len(read_attack(attack(study, clean)).label) == 7
    validation = CleanSettings(method="clean", split="validation", num_images=100)
    stored = read_attack(attack(study, validation))
    assert (len(stored.label), stored.split) == (5, "validation")


def test_a_table_says_where_it_came_from_and_two_are_equal_byte_for_byte(study):
    settings = CwPgdSettings(method="cw_pgd", steps=2)
    first, second = attack(study, settings, "one/attack.h5"), attack(study, settings, "two/attack.h5")
    assert first.read_bytes() == second.read_bytes()
    with h5py.File(first) as file, h5py.File(study / "data.h5") as dataset:
        inputs, resolved = json.loads(file.attrs["inputs"]), json.loads(file.attrs["settings"])
        fingerprints = {role: recorded["fingerprint"] for role, recorded in inputs.items()}
        assert fingerprints["model"] == load_trained(study / "model", "cpu").fingerprint
        assert fingerprints["dataset"] == dataset["test"].attrs["fingerprint"]
        assert (inputs["model"]["path"], inputs["dataset"]["path"]) == ("../model", "../data.h5")
        assert inputs["dataset"]["part"] == "test"
        columns = {"row", "label", "clean_prediction", "adversarial_prediction", "perturbation_norm", "success"}
        assert set(file) == columns
    assert (resolved["threat"]["epsilon"], resolved["seed"]) == (0.1, 3)


def make_sorted(study, labels):
    """Put a test split sorted by class in the place of the study's."""
    images = np.random.default_rng(1).integers(0, 256, (len(labels), *SHAPE), np.uint8)
    with create_artifact(study / "data.h5", "dataset") as file:
        file.attrs["class_names"] = ["a", "b", "c"]
        write_images(file.create_group("test"), LabelledImages(images, labels))
    return images


def test_some_of_the_images_of_a_sorted_split_are_of_every_class_in_its_proportion(study):
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    make_sorted(study, labels)
    some = read_attack(attack(study, CleanSettings(num_images=30)))
    assert np.bincount(some.label).tolist() == [18, 9, 3]
    np.testing.assert_array_equal(some.label, labels[some.row])
    assert (np.diff(some.row) > 0).all()
    assert not np.array_equal(some.row, np.unique(some.row // 3) * 3)  # drawn, not every third
    same = read_attack(attack(study, CwPgdSettings(num_images=30, steps=1), "other.h5", seed=8))
    np.testing.assert_array_equal(same.row, some.row)


def test_an_image_gets_the_numbers_in_a_subset_that_it_gets_among_all(study):
    labels = np.repeat([0, 1, 2], 40)
    make_sorted(study, labels)
    whole = read_attack(attack(study, CwPgdSettings(steps=2), "all.h5"))
    some = read_attack(attack(study, CwPgdSettings(steps=2, num_images=50), "some.h5"))
    np.testing.assert_array_equal(some.adversarial_prediction, whole.adversarial_prediction[some.row])
    assert len(whole.row) == 120
    fewer = read_attack(attack(study, CwPgdSettings(steps=2, num_images=24), "fewer.h5"))
    assert set(fewer.row) < set(some.row)


def test_a_table_from_before_rows_were_recorded_is_of_the_first_images(study):
    path = attack(study, CleanSettings())
    with h5py.File(path, "r+") as file:
        del file["row"]
    seal(path)
    assert read_attack(path).row.tolist() == list(range(31))


def test_the_version_of_an_optional_package_behind_an_attack_is_recorded(study):
    with h5py.File(attack(study, CleanSettings(method="clean"))) as file:
        assert "pyautoattack" not in json.loads(file.attrs["library_versions"])
    package = pytest.importorskip("pyautoattack", reason="the extra autoattack is not installed")
    four = build_model(ARCHITECTURE, SHAPE, 4)
    save_trained(four, study / "model", ARCHITECTURE, SHAPE, ("a", "b", "c", "d"))
    with h5py.File(study / "data.h5", "a") as file:
        file.attrs["class_names"] = ["a", "b", "c", "d"]
    seal(study / "data.h5")
    path = attack(study, AutoattackSettings(method="autoattack", num_images=10))
    with h5py.File(path) as file:
        assert json.loads(file.attrs["library_versions"])["pyautoattack"] == package.__version__
        assert file.attrs["variant"] == "standard attacks with 3 targets"
    stored = read_attack(path)
    assert stored.method == "autoattack"
    assert stored.robust_accuracy <= stored.clean_accuracy


def test_a_model_of_other_images_or_classes_is_refused(study):
    other = build_model(ARCHITECTURE, SHAPE, 4)
    save_trained(other, study / "four", ARCHITECTURE, SHAPE, ("a", "b", "c", "d"))
    with pytest.raises(DataError, match="in 4 classes"):
        attack(study, CleanSettings(method="clean"), model_path=study / "four")
    assert not (study / "attack.h5").exists()


def test_accuracies_are_read_off_the_rows(tmp_path):
    path = tmp_path / "a.h5"
    write_table(path, label=[0, 1, 2, 0], clean_prediction=[0, 1, 1, 0], adversarial_prediction=[0, 2, 1, 1])
    stored = read_attack(path)
    assert stored.clean_accuracy == 0.75
    assert stored.robust_accuracy == 0.25


def write_table(path, kind="attack", **columns):
    with create_artifact(path, kind) as file:
        file.attrs["method"], file.attrs["split"] = "clean", "test"
        for name, values in columns.items():
            file.create_dataset(name, data=np.asarray(values))


def test_files_that_are_no_attack_tables_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    right = {"label": [0, 1], "clean_prediction": [0, 1], "adversarial_prediction": [0, 1]}
    with pytest.raises(ArtifactError, match="found nothing"):
        read_attack(path)
    cases = [
        ({**right, "label": [0, 1, 2]}, "one length"),
        ({name: np.zeros(0, np.int64) for name in right}, "above 0"),
        ({**right, "label": [0.0, 1.0]}, "expected 'label' as int64"),
        ({"label": [0], "clean_prediction": [0]}, "expected dataset 'adversarial_prediction'"),
    ]
    for columns, message in cases:
        write_table(path, **columns)
        with pytest.raises(ArtifactError, match=message):
            read_attack(path)
    write_table(path, kind="scores", **right)
    with pytest.raises(ArtifactError, match=r"expected schema puma\.attack, got puma\.scores"):
        read_attack(path)
    write_table(path, **right)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ArtifactError, match="truncated or damaged"):
        read_attack(path)
