import os

import pytest
import safetensors.torch
import torch
from torch import nn

from pumalib.errors import ArtifactError
from pumalib.models.build import build_model
from pumalib.models.checkpoint import load_weights, read_metadata, save_weights
from pumalib.models.settings import ArchitectureSettings

METADATA = {"schema": "model/1", "architecture": {"name": "convnet", "width": 4}, "epochs": 3}


def small_model(seed=0, num_classes=10, **options):
    settings = ArchitectureSettings(**{"name": "convnet", "width": 4, **options})
    return build_model(settings, (8, 8, 1), num_classes, seed)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(small_model(), path, METADATA)
    return path


def assert_same_weights(model, other):
    torch.testing.assert_close(model.state_dict(), other.state_dict(), rtol=0, atol=0)


def test_weights_may_be_read_by_whoever_may_read_other_files(saved):
    (saved.parent / "other").touch()
    assert saved.stat().st_mode == (saved.parent / "other").stat().st_mode


def test_weights_statistics_and_metadata_survive_a_round_trip(tmp_path):
    model = small_model(mean=(0.3,), std=(0.2,))
    model(torch.rand(16, 1, 8, 8))  # moves the running statistics
    save_weights(model, tmp_path / "m.safetensors", METADATA)
    other = small_model(seed=1, mean=(0.5,), std=(0.5,))
    assert load_weights(other, tmp_path / "m.safetensors") == METADATA
    assert_same_weights(model, other)
    images = torch.rand(4, 1, 8, 8)
    assert torch.equal(model.eval()(images), other.eval()(images))


def test_metadata_can_be_read_alone(saved):
    assert read_metadata(saved) == METADATA


def test_file_can_be_read_without_this_library(saved):
    tensors = safetensors.torch.load_file(saved)
    torch.testing.assert_close(dict(small_model().state_dict()), tensors, rtol=0, atol=0)


def test_two_saves_are_equal_byte_for_byte(saved, tmp_path):
    reordered = dict(reversed(METADATA.items()))
    for attempt in range(5):
        save_weights(small_model(), tmp_path / f"{attempt}.safetensors", reordered)
        assert (tmp_path / f"{attempt}.safetensors").read_bytes() == saved.read_bytes()


def test_memory_layout_does_not_show_in_the_file(saved, tmp_path):
    save_weights(small_model().to(memory_format=torch.channels_last), tmp_path / "last.safetensors", METADATA)
    assert (tmp_path / "last.safetensors").read_bytes() == saved.read_bytes()


def test_tied_weights_survive_a_round_trip(tmp_path):
    def tied():
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
        model[1].weight = model[0].weight
        return model

    model, other = tied(), tied()
    save_weights(model, tmp_path / "m.safetensors", {})
    load_weights(other, tmp_path / "m.safetensors")
    assert_same_weights(model, other)


def test_saving_replaces_the_file_and_leaves_nothing_else(saved):
    save_weights(small_model(seed=1), saved, {"epochs": 4})
    assert read_metadata(saved) == {"epochs": 4}
    assert os.listdir(saved.parent) == [saved.name]


def test_missing_folders_are_made(tmp_path):
    save_weights(small_model(), tmp_path / "runs" / "a" / "m.safetensors", {})
    assert read_metadata(tmp_path / "runs" / "a" / "m.safetensors") == {}


def test_failed_save_leaves_the_old_file_alone(saved):
    before = saved.read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        save_weights(small_model(seed=1), saved, {"loss": float("nan")})
    assert saved.read_bytes() == before


def test_failed_rename_leaves_no_temporary_file(tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        save_weights(small_model(), tmp_path / "taken", {})
    assert os.listdir(tmp_path) == ["taken"]


def test_missing_file_is_refused(tmp_path):
    for path in (tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(ArtifactError, match="found none at"):
            load_weights(small_model(), path)
        with pytest.raises(ArtifactError, match="found none at"):
            read_metadata(path)


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 9, 0.1, 0.5, 0.9, -1])
def test_truncated_file_is_refused(kept, saved):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    model = small_model(seed=1)
    with pytest.raises(ArtifactError, match="expected a whole safetensors file"):
        load_weights(model, saved)
    assert_same_weights(model, small_model(seed=1))
    with pytest.raises(ArtifactError, match="expected a whole safetensors file"):
        read_metadata(saved)


def test_file_with_something_appended_is_refused(saved):
    saved.write_bytes(saved.read_bytes() + b"\0")
    with pytest.raises(ArtifactError, match="expected a whole safetensors file"):
        load_weights(small_model(), saved)


def test_pickled_checkpoint_is_refused(tmp_path):
    torch.save(small_model().state_dict(), tmp_path / "model.pt")
    with pytest.raises(ArtifactError, match="expected a whole safetensors file"):
        load_weights(small_model(), tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_classes": 7}, r"another shape: classifier.bias \(expected \[7\], got \[10\]\)"),
        ({"width": 8}, r"another shape: .* and 18 more"),
        ({"name": "mlp"}, r"missing: hidden1.weight, .* and 1 more; unexpected: .* and 21 more"),
        ({"mean": (0.5,), "std": (0.5,)}, r"missing: mean, std, model.layer1.*; unexpected: "),
    ],
)
def test_weights_of_another_architecture_are_refused_and_the_model_kept(options, message, saved):
    model = small_model(seed=1, **options)
    with pytest.raises(ArtifactError, match=message + ".*another architecture or class count"):
        load_weights(model, saved)
    assert_same_weights(model, small_model(seed=1, **options))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, 'expected metadata "pumalib"'),
        ({"other": "{}"}, 'expected metadata "pumalib"'),
        ({"pumalib": "{"}, "expected JSON"),
        ({"pumalib": "[1]"}, r"expected a JSON object .* got \[1\]"),
    ],
)
def test_file_from_elsewhere_is_refused(metadata, message, tmp_path):
    path = tmp_path / "m.safetensors"
    safetensors.torch.save_file(dict(small_model().state_dict()), path, metadata=metadata)
    with pytest.raises(ArtifactError, match=message):
        load_weights(small_model(), path)
    with pytest.raises(ArtifactError, match=message):
        read_metadata(path)
