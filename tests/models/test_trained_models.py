"""Trained models on disk: what is loaded predicts what was saved, and anything else is refused."""

from dataclasses import replace

import pytest
import torch

from pumalib.errors import ArtifactError, DataError
from pumalib.files.origin import Input, Origin
from pumalib.models.build import build_model
from pumalib.models.checkpoint import read_metadata, save_weights
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import expect_images, load_trained, save_trained

NAMES = ("cat", "dog", "owl")
SHAPE = (8, 6, 3)
NORMALISED = {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.2, 0.3)}


def trained_like(architecture):
    """Return a model whose weights and running statistics are not those of a fresh one."""
    model = build_model(architecture, SHAPE, len(NAMES), seed=5)
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(16, 3, 8, 6, generator=torch.Generator().manual_seed(1)))
    return model


def save(path, architecture, **changes):
    model = trained_like(architecture)
    origin = Origin({"beta": 5.0}, {"pool": Input(None, "abc")}, {"m": "1"})
    save_trained(model, path, architecture, SHAPE, NAMES, replace(origin, **changes))
    return model


@pytest.mark.parametrize(
    "options", [{"name": "convnet", "width": 4}, {"name": "mlp"}, {"name": "convnet", "width": 4, **NORMALISED}]
)
def test_a_loaded_model_gives_the_logits_of_the_saved_one(tmp_path, options):
    architecture = ArchitectureSettings(**options)
    model = save(tmp_path / "m.safetensors", architecture)
    trained = load_trained(tmp_path / "m.safetensors", "cpu")
    images = torch.rand(9, 3, 8, 6)
    with torch.no_grad():
        assert torch.equal(trained.model(images), model.eval()(images))
    assert not any(module.training for module in trained.model.modules())
    assert trained.image_shape == SHAPE
    assert trained.class_names == NAMES


def test_the_fingerprint_follows_the_weights_and_what_made_them(tmp_path):
    architecture = ArchitectureSettings(name="convnet", width=4)
    for name, changes in {"a": {}, "b": {}, "c": {"settings": {"beta": 6.0}}}.items():
        (tmp_path / name).mkdir()
        save(tmp_path / name / "m.safetensors", architecture, **changes)
    prints = [load_trained(tmp_path / name / "m.safetensors", "cpu").fingerprint for name in "abc"]
    assert prints[0] == prints[1] != prints[2]


def test_loading_does_not_touch_the_global_random_state(tmp_path):
    save(tmp_path / "m", ArchitectureSettings(name="convnet", width=4))
    before = torch.get_rng_state()
    load_trained(tmp_path / "m", "cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_what_is_no_model_of_this_library_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save(path, ArchitectureSettings(name="convnet", width=4))
    metadata, model = read_metadata(path), trained_like(ArchitectureSettings(name="convnet", width=4))
    no_shape = {key: value for key, value in metadata.items() if key != "image_shape"}
    unknown_architecture = {**metadata, "architecture": {"name": "convnet", "width": 4, "depth_of_thought": 9}}
    cases = [
        (
            {**metadata, "schema": "puma.generator"},
            r"expected puma\.model, got puma\.generator at .*; give the model's weights",
        ),
        ({**metadata, "schema_version": 3}, r"expected version 1 or 2 of puma\.model, got 3 at .*; make it again"),
        ({"epochs": 3}, r"expected puma\.model, got None at .*; give the model's weights"),
        (no_shape, "expected image_shape, class_names and architecture"),
        ({**metadata, "image_shape": [8, 8]}, "expected image_shape, class_names and architecture"),
        (unknown_architecture, "depth_of_thought"),
        ({**metadata, "class_names": ["cat", "dog"]}, "does not fit the model"),
    ]
    for number, (wrong, message) in enumerate(cases):
        bad = tmp_path / f"{number}.safetensors"
        save_weights(model, bad, wrong)
        with pytest.raises(ArtifactError, match=message) as refusal:
            load_trained(bad, "cpu")
        assert str(bad) in str(refusal.value)


def test_missing_and_damaged_files_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(ArtifactError, match="found none"):
        load_trained(path, "cpu")
    save(path, ArchitectureSettings(name="convnet", width=4))
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-1], b"", b"x" * 200):
        path.write_bytes(damaged)
        with pytest.raises(ArtifactError, match="safetensors"):
            load_trained(path, "cpu")


def test_images_a_model_was_not_made_for_are_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    save(path, ArchitectureSettings(name="convnet", width=4))
    trained = load_trained(path, "cpu")
    expect_images(trained, SHAPE, 3, "data.h5")
    for shape, num_classes in (((8, 8, 3), 3), (SHAPE, 4), ((8, 6), 3)):
        with pytest.raises(DataError, match=r"in data\.h5"):
            expect_images(trained, shape, num_classes, "data.h5")
