"""The robustified data of Ilyas et al. 2019, against the closed form of a linear model."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pumalib.errors import DataError
from pumalib.jobs.states import StateFile, StatePlace
from pumalib.learning.methods.robust_features import feature_reader, learn, match_features, other_rows
from pumalib.learning.settings import RobustFeaturesSettings
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.models.trained import save_trained
from tests.learning.conftest import StopError, stop_at

SETTINGS = RobustFeaturesSettings(
    method="robust_features", pool="real", model="trades", steps=60, step_size=0.05, batch_size=16
)


@pytest.fixture
def robust(inputs, tmp_path):
    """Inputs whose model is a perceptron on disk."""
    architecture = ArchitectureSettings(name="mlp", width=6)
    network = build_model(architecture, (4, 4, 1), 2, seed=3)
    path = tmp_path / "model.safetensors"
    save_trained(network, path, architecture, (4, 4, 1), ("a", "b"))
    return replace(inputs, model_path=path)


def test_moved_image_of_a_linear_model_keeps_what_the_model_does_not_see():
    """With features A x, descent stays in the rows of A: the rest of the image is the start's."""
    torch.manual_seed(0)
    matrix = torch.randn(3, 16)
    starts, images = 0.4 + 0.2 * torch.rand(5, 1, 4, 4), 0.4 + 0.2 * torch.rand(5, 1, 4, 4)
    settings = SETTINGS.model_copy(update={"steps": 4000, "step_size": 0.0005})
    moved, share_left = match_features(lambda inputs: inputs.flatten(1) @ matrix.T, starts, images, settings)
    seen = torch.linalg.pinv(matrix) @ matrix
    expected = starts.flatten(1) + (images - starts).flatten(1) @ seen
    torch.testing.assert_close(moved.flatten(1), expected, atol=2e-3, rtol=0)
    assert share_left < 0.01


def test_robustified_images_have_the_features_of_their_rows_and_not_of_their_starts(robust):
    settings = SETTINGS.model_copy(update={"steps": 400})
    learned = learn(settings, robust)
    model = build_model(ArchitectureSettings(name="mlp", width=6), (4, 4, 1), 2, seed=3).eval()
    read = feature_reader(model, "penultimate", torch.zeros(1, 1, 4, 4))

    def distances(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            wanted = read(torch.from_numpy(robust.images).permute(0, 3, 1, 2) / 255)
            return (read(torch.from_numpy(images).permute(0, 3, 1, 2) / 255) - wanted).norm(dim=1).numpy()

    starts = robust.images[other_rows(len(robust.images), robust.seed)]
    assert distances(learned).mean() < 0.1 * distances(starts).mean()
    assert (learned != robust.images).any((1, 2, 3)).all()


def test_each_row_starts_from_another_and_each_is_used_once():
    for count in (2, 3, 50):
        others = other_rows(count, 0)
        assert sorted(others) == list(range(count))
        assert (others != np.arange(count)).all()
    with pytest.raises(DataError, match="expected at least 2 rows"):
        other_rows(1, 0)


@pytest.mark.parametrize("name", ["mlp", "small-cnn", "convnet", "resnet-18", "preactresnet-18", "wrn-10-1"])
def test_penultimate_features_are_what_the_last_linear_layer_sees(name):
    model = build_model(ArchitectureSettings(name=name), (8, 8, 1), 3, seed=0).eval()
    images = torch.rand(2, 1, 8, 8)
    features = feature_reader(model, "penultimate", images[:1])(images)
    last = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]
    assert features.shape == (2, last.in_features)
    torch.testing.assert_close(last(features), model(images))


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Flatten(), nn.Linear(16, 3), nn.Hardtanh()),
        nn.Sequential(nn.Conv2d(1, 3, 4), nn.Flatten()),
    ],
)
def test_model_without_a_last_linear_layer_needs_logits(model):
    images = torch.full((1, 1, 4, 4), 9.0)
    with pytest.raises(DataError, match=r"expected a model whose last layer is linear.*set features: logits"):
        feature_reader(model, "penultimate", images)
    assert torch.equal(feature_reader(model, "logits", images)(images), model(images))


def test_stopped_job_goes_on_to_the_same_bits(robust, tmp_path):
    whole = learn(SETTINGS, robust)
    state = StateFile(StatePlace(tmp_path / "state", 0), "key")
    kept = replace(robust, state_file=state, progress=tmp_path / "progress.csv")
    with pytest.raises(StopError):
        learn(SETTINGS, kept, stop_at(16))
    done: list[int] = []
    np.testing.assert_array_equal(learn(SETTINGS, kept, done.append), whole)
    assert done == [32, 40]
    assert [line.split(",")[0] for line in (tmp_path / "progress.csv").read_text().splitlines()[1:]] == [
        "16",
        "32",
        "40",
    ]


def test_model_of_other_images_is_refused(robust):
    wide = replace(robust, images=np.zeros((4, 4, 5, 1), np.uint8))
    with pytest.raises(DataError, match=r"expected images of shape \(4, 4, 1\)"):
        learn(SETTINGS, wide)
    with pytest.raises(DataError, match="expected the weights of a robust model, got none"):
        learn(SETTINGS, replace(robust, model_path=None))
