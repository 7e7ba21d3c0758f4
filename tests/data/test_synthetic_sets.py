from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from pumalib.data.datasets import read_class_names, read_image_shape, read_split, split_fingerprint
from pumalib.data.images import LabelledImages, stratified_rows
from pumalib.data.pool import build_pool, open_pool
from pumalib.data.settings import (
    AskedMarginSettings,
    FolderSyntheticSettings,
    GeneratedSyntheticSettings,
    HeldOutSyntheticSettings,
    NpzSyntheticSettings,
)
from pumalib.errors import ArtifactError, DataError
from pumalib.files.artifacts import content_fingerprint, file_fingerprint
from pumalib.files.origin import Maker
from pumalib.inspection.files import inspect_file
from pumalib.lineage.fingerprints import scores_fingerprint
from pumalib.models.checkpoint import read_metadata, save_weights
from pumalib.randomness import numpy_generator
from pumalib.scores.table import ScoreTable, write_scores
from pumalib.synthesis.generator import load_generator, train_stage
from pumalib.synthesis.label_noise import with_wrong_labels
from pumalib.synthesis.settings import EdmSettings, GeneratorMarginSettings
from pumalib.synthesis.synthetic import SyntheticInputs, make_synthetic

EDM = EdmSettings(
    method="edm",
    dataset="d",
    network="mlp",
    width=8,
    num_blocks=1,
    steps=3,
    batch_size=4,
    learning_rate=1e-3,
    averaging=0.9,
    sampling_steps=2,
    sampling_batch_size=8,
)
GENERATED = GeneratedSyntheticSettings(method="generator", generator="edm", count=10)


@pytest.fixture
def dataset(tmp_path: Path, labelled: Callable[..., LabelledImages], write_dataset: Callable[..., Path]) -> Path:
    splits = {name: labelled(seed, 40) for seed, name in enumerate(("train", "test", "held_out"))}
    return write_dataset(tmp_path / "dataset.h5", **splits)


@pytest.fixture
def inputs(dataset: Path) -> SyntheticInputs:
    return SyntheticInputs(dataset, None, None, seed=0, device="cpu")


@pytest.fixture
def generator(dataset: Path, tmp_path: Path) -> Path:
    return train_generator(dataset, tmp_path / "first")


def train_generator(dataset: Path, folder: Path, seed: int = 0) -> Path:
    path = folder / "edm.safetensors"
    train_stage(EDM, dataset, path, name="edm", seed=seed, device="cpu", maker=Maker({"x": "y"}))
    return path


def make(settings: Any, inputs: SyntheticInputs, output: Path) -> LabelledImages:
    make_synthetic(settings, inputs, output)
    with h5py.File(output) as file:
        return LabelledImages(file["images"][...], file["labels"][...])


def test_wrong_labels_are_as_many_as_asked_and_the_true_ones_are_kept(inputs: SyntheticInputs, tmp_path: Path) -> None:
    plain = make(HeldOutSyntheticSettings(method="held_out"), inputs, tmp_path / "plain.h5")
    noisy_settings = HeldOutSyntheticSettings(method="held_out", label_noise=0.3)
    noisy = make(noisy_settings, inputs, tmp_path / "noisy.h5")
    again = make(noisy_settings, inputs, tmp_path / "again.h5")
    other = make(noisy_settings, replace(inputs, seed=1), tmp_path / "other.h5")
    assert (noisy.images == plain.images).all()
    assert (noisy.labels != plain.labels).sum() == round(0.3 * len(plain))
    assert noisy.labels.min() >= 0
    assert noisy.labels.max() <= plain.labels.max()
    assert (noisy.labels == again.labels).all()
    assert (noisy.labels != other.labels).any()
    with h5py.File(tmp_path / "noisy.h5") as file:
        assert (file["true_labels"][...] == plain.labels).all()
    with h5py.File(tmp_path / "plain.h5") as file:
        assert "true_labels" not in file


def test_wrong_labels_fall_on_every_other_class_alike() -> None:
    labels = np.arange(30_000) % 3
    noisy = with_wrong_labels(labels, 0.5, 3, np.random.default_rng(0))
    moved = np.bincount((noisy - labels) % 3, minlength=3)
    assert moved[0] == 15_000
    assert abs(moved[1] - 7_500) < 5 * np.sqrt(15_000 / 4)


def test_all_held_out_rows_are_taken_in_order(dataset: Path, inputs: SyntheticInputs, tmp_path: Path) -> None:
    images = make(HeldOutSyntheticSettings(method="held_out"), inputs, tmp_path / "s.h5")
    held_out = read_split(dataset, "held_out")
    assert np.array_equal(images.images, held_out.images)
    assert np.array_equal(images.labels, held_out.labels)


def test_held_out_subset_is_stratified_and_follows_its_own_seed(inputs: SyntheticInputs, tmp_path: Path) -> None:
    settings = HeldOutSyntheticSettings(method="held_out", count=20, subset_seed=3)
    first = make(settings, inputs, tmp_path / "a.h5")
    assert np.bincount(first.labels).tolist() == [5, 5, 5, 5]
    held_out = read_split(inputs.dataset, "held_out")
    rows = stratified_rows(held_out.labels, 20, numpy_generator(3, "held_out subset"))
    assert np.array_equal(first.images, held_out.images[rows])
    assert np.array_equal(first.images, make(settings, replace(inputs, seed=9), tmp_path / "b.h5").images)
    other = make(settings.model_copy(update={"subset_seed": 4}), inputs, tmp_path / "c.h5")
    assert not np.array_equal(first.images, other.images)


def test_more_held_out_rows_than_there_are_cannot_be_taken(inputs: SyntheticInputs, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected at most 40 held-out rows, got count 41; raise held_out_fraction"):
        make(HeldOutSyntheticSettings(method="held_out", count=41), inputs, tmp_path / "s.h5")
    assert not (tmp_path / "s.h5").exists()


def test_dataset_without_held_out_rows_is_refused(tmp_path: Path, labelled: Any, write_dataset: Any) -> None:
    dataset = write_dataset(tmp_path / "d.h5", train=labelled(0, 8), test=labelled(1, 8))
    message = r"expected a held_out split in .* which has train, test; set held_out_fraction"
    with pytest.raises(ArtifactError, match=message):
        make(
            HeldOutSyntheticSettings(method="held_out"), SyntheticInputs(dataset, None, None, 0, "cpu"), tmp_path / "s"
        )


def test_npz_subset_becomes_a_synthetic_set(inputs: SyntheticInputs, tmp_path: Path, labelled: Any) -> None:
    published = labelled(7, 40)
    np.savez(tmp_path / "published.npz", image=published.images, label=published.labels)
    images = make(
        NpzSyntheticSettings(method="npz", path=str(tmp_path / "published.npz"), count=8), inputs, tmp_path / "s"
    )
    assert np.bincount(images.labels).tolist() == [2, 2, 2, 2]
    originals = {image.tobytes() for image in published.images}
    assert all(image.tobytes() in originals for image in images.images)


def test_generator_stage_runs_from_images_to_a_pool(
    dataset: Path, generator: Path, inputs: SyntheticInputs, tmp_path: Path
) -> None:
    inputs = replace(inputs, generator=generator, generator_settings=EDM)
    images = make(GENERATED, inputs, tmp_path / "s.h5")
    assert (images.images.shape, images.images.dtype) == ((10, 4, 4, 3), np.uint8)
    assert images.labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    build_pool(dataset, tmp_path / "s.h5", tmp_path / "pool.h5", settings={})
    pool = open_pool(tmp_path / "pool.h5")
    assert len(pool) == 50
    assert np.array_equal(pool.images[40:], images.images)


def test_generator_and_its_samples_are_byte_equal_for_a_seed_and_differ_between_seeds(
    dataset: Path, generator: Path, inputs: SyntheticInputs, tmp_path: Path
) -> None:
    again, other = (train_generator(dataset, tmp_path / name, seed) for name, seed in (("again", 0), ("other", 1)))
    prints = [file_fingerprint(path) for path in (generator, again, other)]
    assert prints[0] == prints[1] != prints[2]
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_synthetic(GENERATED, SyntheticInputs(dataset, generator, EDM, seed, "cpu"), tmp_path / name / "s.h5")
    assert (tmp_path / "a/s.h5").read_bytes() == (tmp_path / "b/s.h5").read_bytes()
    samples = [h5py.File(tmp_path / name / "s.h5")["images"][...] for name in "ac"]
    assert not np.array_equal(*samples)


KNOWING = EDM.model_copy(update={"margin": GeneratorMarginSettings(score="margin")})
NEAR = GENERATED.model_copy(update={"margin": AskedMarginSettings(above=0.0, below=0.2)})


def margins_of(dataset: Path, path: Path, values: Any = None, pool: str | None = None) -> Path:
    """Write a score table of the train rows of a dataset, from -0.1 up in steps of 0.01; the last row is not scored."""
    score = np.arange(-10, 30, dtype=np.float32) / 100 if values is None else values
    fingerprint = content_fingerprint(split_fingerprint(dataset, "train")) if pool is None else pool
    write_scores(ScoreTable(score, np.arange(40) < 39, "easier", "pixels", "deepfool", fingerprint, norm="linf"), path)
    return path


def train_knowing(dataset: Path, score: Path, path: Path) -> Path:
    train_stage(KNOWING, dataset, path, name="edm", seed=0, device="cpu", score=score)
    return path


def test_generator_learns_margins_and_a_pool_keeps_what_was_asked_of_each_sample(dataset: Path, tmp_path: Path) -> None:
    build_pool(dataset, None, tmp_path / "real.h5", settings={})  # whose fingerprint the score table must have
    score = margins_of(dataset, tmp_path / "margin.h5", pool=open_pool(tmp_path / "real.h5").fingerprint)
    generator = train_knowing(dataset, score, tmp_path / "edm.safetensors")
    metadata = read_metadata(generator)
    assert metadata["num_margins"] == 39
    assert metadata["settings"]["margin"] == {"score": "margin", "drop": 0.1}
    assert metadata["inputs"]["score margin"] == {"fingerprint": scores_fingerprint(score), "path": "margin.h5"}
    inputs = SyntheticInputs(dataset, generator, KNOWING, seed=0, device="cpu")
    images = make(NEAR, inputs, tmp_path / "near.h5")
    with h5py.File(tmp_path / "near.h5") as file:
        asked = file["asked_margin"][...]
    assert (asked.dtype, asked.shape) == (np.float32, (10,))
    assert set(asked.tolist()) <= {np.float32(step / 100).item() for step in range(20)}
    assert len(set(asked.tolist())) > 3
    plain = make(GENERATED, inputs, tmp_path / "plain.h5")
    assert images.labels.tolist() == plain.labels.tolist()
    with h5py.File(tmp_path / "plain.h5") as file:
        assert "asked_margin" not in file
    text = inspect_file(tmp_path / "near.h5")
    assert "asked margin" in {each.name for each in text.distributions}


def test_margins_of_other_rows_are_refused(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="pool"):
        train_knowing(
            dataset, margins_of(dataset, tmp_path / "margin.h5", pool="another"), tmp_path / "edm.safetensors"
        )
    assert not (tmp_path / "edm.safetensors").exists()


def test_generator_without_margins_is_refused_where_they_are_needed(
    dataset: Path, generator: Path, tmp_path: Path
) -> None:
    inputs = SyntheticInputs(dataset, generator, EDM, seed=0, device="cpu")
    with pytest.raises(
        DataError, match="expected a generator that was trained with margin, to ask for margins, got one"
    ):
        make(NEAR, inputs, tmp_path / "near.h5")
    with pytest.raises(ArtifactError, match=r"does not fit the model: missing: network\.conditioning\.margin"):
        make(NEAR, replace(inputs, generator_settings=KNOWING), tmp_path / "near.h5")
    assert not (tmp_path / "near.h5").exists()


def test_range_in_which_no_train_row_is_leaves_no_file(dataset: Path, tmp_path: Path) -> None:
    generator = train_knowing(dataset, margins_of(dataset, tmp_path / "margin.h5"), tmp_path / "edm.safetensors")
    far = GENERATED.model_copy(update={"margin": AskedMarginSettings(above=0.5)})
    with pytest.raises(DataError, match=r"which go from -0\.1 to 0\.28, got at least 0\.5; ask for another range"):
        make(far, SyntheticInputs(dataset, generator, KNOWING, seed=0, device="cpu"), tmp_path / "far.h5")
    assert not (tmp_path / "far.h5").exists()


@pytest.mark.parametrize("count", [0, -1, "3", 1 << 40, None])
def test_forged_number_of_margins_is_refused(dataset: Path, tmp_path: Path, count: Any) -> None:
    generator = train_knowing(dataset, margins_of(dataset, tmp_path / "margin.h5"), tmp_path / "edm.safetensors")
    tensors = load_file(generator)
    forged = {**read_metadata(generator), "num_margins": count}
    save_weights(tensors, generator, forged)
    with pytest.raises(ArtifactError, match=r"num_margins|does not fit"):
        load_generator(generator, KNOWING, dataset, "cpu")


def test_generator_that_saw_other_rows_is_refused(
    generator: Path, tmp_path: Path, labelled: Any, write_dataset: Any
) -> None:
    other = write_dataset(tmp_path / "other.h5", train=labelled(5, 40), test=labelled(1, 40))
    inputs = SyntheticInputs(other, generator, EDM, 0, "cpu")
    with pytest.raises(
        ArtifactError, match=r"trained on other rows at .*: it may have seen test images; train it again"
    ):
        make(GENERATED, inputs, tmp_path / "s.h5")
    assert not (tmp_path / "s.h5").exists()


def test_generator_knows_only_the_train_split(dataset: Path, generator: Path, tmp_path: Path, labelled: Any) -> None:
    metadata = read_metadata(generator)
    assert metadata["inputs"] == {
        "dataset": {"fingerprint": split_fingerprint(dataset, "train"), "path": "../dataset.h5", "part": "train"}
    }
    assert "sampling_steps" not in metadata["settings"]
    with h5py.File(dataset, "r+") as file:  # a generator that looked at other splits would not be byte-equal
        for name in ("test", "held_out"):
            file[name]["images"][...] = 0
    assert file_fingerprint(train_generator(dataset, tmp_path / "b")) == file_fingerprint(generator)


def test_weights_of_another_network_or_kind_are_refused(dataset: Path, generator: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not fit the model"):
        load_generator(generator, EDM.model_copy(update={"width": 16}), dataset, "cpu")
    with pytest.raises(ArtifactError, match="found none at"):
        load_generator(tmp_path / "none.safetensors", EDM, dataset, "cpu")
    with pytest.raises(ArtifactError):
        load_generator(dataset, EDM, dataset, "cpu")


def test_classifier_weights_are_no_generator(dataset: Path, tmp_path: Path) -> None:
    from torch import nn

    save_weights(nn.Linear(2, 2), tmp_path / "m.safetensors", {"schema": "puma.model", "schema_version": 1})
    with pytest.raises(
        ArtifactError, match=r"expected puma\.generator, got puma\.model at .*; give the generator's weights"
    ):
        load_generator(tmp_path / "m.safetensors", EDM, dataset, "cpu")


def test_generated_images_in_folders_join_by_the_names_of_their_classes(dataset: Path, tmp_path: Path) -> None:
    """Folders in another order than the labels, and a stratified part of them; the others are not read."""
    names, (size, _, channels) = read_class_names(dataset), read_image_shape(dataset)
    mode = "L" if channels == 1 else "RGB"
    for label, name in enumerate(names):
        for number in range(4):
            path = tmp_path / "in" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (size, size), 10 * label if channels == 1 else (10 * label,) * 3).save(path)
    settings = FolderSyntheticSettings(path=str(tmp_path / "in"), count=2 * len(names))
    make_synthetic(settings, SyntheticInputs(dataset, None, None, 0, "cpu"), tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5") as file:
        labels, images = file["labels"][...], file["images"][...]
        files = file["files"].asstr()[...]
    assert np.bincount(labels).tolist() == [2] * len(names)
    assert (images[:, 0, 0, 0] == 10 * labels).all()
    assert [str(each).partition("/")[0] for each in files] == [names[label] for label in labels]


def test_generated_images_in_folders_that_do_not_fit_are_refused(
    dataset: Path, inputs: SyntheticInputs, tmp_path: Path
) -> None:
    size, _, channels = read_image_shape(dataset)
    path = tmp_path / "in/no such class/0.png"
    path.parent.mkdir(parents=True)
    Image.new("L" if channels == 1 else "RGB", (size, size)).save(path)
    settings = FolderSyntheticSettings(path=str(tmp_path / "in"))
    with pytest.raises(DataError, match="named by classes of the dataset, got no such class in"):
        make_synthetic(settings, inputs, tmp_path / "s.h5")
    path.parent.rename(tmp_path / "in" / read_class_names(dataset)[0])
    with pytest.raises(DataError, match=r"expected a count of at most 1, the images in .*in, got 2"):
        make_synthetic(settings.model_copy(update={"count": 2}), inputs, tmp_path / "s.h5")
