"""A checkpoint that cannot be the network asked for is refused in one sentence that names the file and the remedy."""

import os
import pickle
import re

import pytest
import torch
from foreign_networks import CifarBlock, CifarNet, CifarPreActBlock, GowalNet, Normalize, TradesWideNet
from safetensors.torch import save_file
from torch import nn

from pumalib.errors import ArtifactError, ConfigError
from pumalib.models.imported import load_checkpoint
from pumalib.models.settings import ArchitectureSettings

SHAPE = (32, 32, 3)
GOWAL = {"name": "wrn-10-1", "strided_padding": "end"}
CONSTANTS = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2471, 0.2435, 0.2616]}


def trades():
    return TradesWideNet(10, 1).state_dict()


def gowal(**options):
    return GowalNet(10, 1, **options).state_dict()


def refusal(path, architecture="wrn-10-1", shape=SHAPE, num_classes=10, weights=None):
    settings = ArchitectureSettings.model_validate(architecture)
    with pytest.raises((ArtifactError, ConfigError)) as caught:
        load_checkpoint(path, settings, shape, num_classes, weights)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_missing_file_is_refused(suffix, tmp_path):
    assert refusal(tmp_path / f"absent{suffix}").startswith("expected a checkpoint, found none at ")
    (tmp_path / f"folder{suffix}").mkdir()
    assert "found none at" in refusal(tmp_path / f"folder{suffix}")


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("damage", [lambda whole: whole[: len(whole) // 2], lambda _: b"", lambda _: b"x" * 200])
def test_damaged_file_is_refused(suffix, damage, tmp_path):
    path = tmp_path / f"m{suffix}"
    (torch.save if suffix == ".pt" else save_file)(trades(), path)
    path.write_bytes(damage(path.read_bytes()))
    assert refusal(path).startswith(("expected a whole ", "expected tensors alone in "))


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("is_legacy", [False, True])
def test_file_that_runs_code_is_refused_and_its_code_does_not_run(is_legacy, tmp_path):
    path, proof = tmp_path / "m.pt", tmp_path / "proof"
    torch.save({"state_dict": trades(), "extra": Malicious(proof)}, path, _use_new_zipfile_serialization=not is_legacy)
    message = refusal(path)
    assert "could run code when read" in message
    assert "mkdir" in message
    assert "save model.state_dict() alone" in message
    assert not proof.exists()
    torch.load(path, weights_only=False)  # what the refusal is for
    assert proof.exists()


def test_bare_pickle_that_runs_code_is_refused_and_its_code_does_not_run(tmp_path):
    path, proof = tmp_path / "m.pt", tmp_path / "proof"
    path.write_bytes(pickle.dumps(Malicious(proof)))
    refusal(path)
    assert not proof.exists()


def test_whole_pickled_model_is_refused(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "m.pt")
    assert "GLOBAL torch.nn.modules.linear.Linear was not" in refusal(tmp_path / "m.pt")


@pytest.mark.parametrize(
    ("payload", "got"),
    [
        ({"epoch": 3, "optimizer": {"lr": 0.1}}, "got the keys epoch, optimizer; save"),
        ({str(key): key for key in range(7)}, "got the keys 0, 1, 2, 3, 4 and 2 more; save"),
        ({}, r"got the keys (none); save"),
        ([torch.zeros(2)], "got one list; save"),
        ({"state_dict": {}}, "got the keys state_dict; save"),
    ],
)
def test_file_without_a_state_dict_is_refused(payload, got, tmp_path):
    torch.save(payload, tmp_path / "m.pt")
    message = refusal(tmp_path / "m.pt")
    assert message.startswith("expected a state dict in ")
    assert got in message


def test_two_sets_of_weights_ask_for_a_choice_and_one_set_for_none(tmp_path):
    both, one = tmp_path / "both.pt", tmp_path / "one.pt"
    torch.save({"state_dict": trades(), "ema_state_dict": trades()}, both)
    torch.save({"state_dict": trades()}, one)
    assert "expected weights model or averaged" in refusal(both)
    assert refusal(one, weights="averaged").endswith("got no weights marked so; leave weights out")


@pytest.mark.parametrize(
    ("network", "architecture", "message"),
    [
        (lambda: TradesWideNet(10, 1, num_classes=7), "wrn-10-1", "expected a network of 10 classes.* got one of 7 in"),
        (lambda: TradesWideNet(10, 1, channels=1), "wrn-10-1", "of images with 3 channels, got one with 1 in"),
        (lambda: TradesWideNet(16, 1), "wrn-10-1", "tensors of wrn-10-1, got those of wrn-16-1 in .*; set its name"),
        (lambda: TradesWideNet(10, 2), "wrn-10-1", "tensors of wrn-10-1, got those of wrn-10-2 in .*; set its name"),
        (lambda: GowalNet(16, 2), {**GOWAL, "name": "wrn-10-2"}, "the tensors of wrn-10-2, got those of wrn-16-2 in"),
        (lambda: CifarNet(CifarBlock, "bn1"), "wrn-10-1", "the tensors of wrn-10-1 in .* got others .missing: "),
        (lambda: CifarNet(CifarBlock, "bn1", num_blocks=3), "resnet-18", r"unexpected: layer1\.2\.conv1\.weight, "),
        (lambda: CifarNet(CifarPreActBlock, None), "preactresnet-18", r"got others .missing: bn\.weight, bn\.bias"),
        (lambda: TradesWideNet(10, 1), "convnet", "tensors of convnet in .*missing: .*unexpected: conv1.weight"),
        (lambda: TradesWideNet(10, 1), {"name": "wrn-10-1", "strided_padding": "end"}, "expected strided_padding both"),
        (lambda: GowalNet(10, 1), "wrn-10-1", "expected strided_padding end.*; set strided_padding: end"),
        (lambda: GowalNet(10, 1, keeps_constants=False), GOWAL, "expected mean and std of the architecture"),
    ],
)  # fmt: skip
def test_checkpoint_of_another_network_is_refused(network, architecture, message, tmp_path):
    torch.save(network().state_dict(), tmp_path / "m.pt")
    assert re.search(message, refusal(tmp_path / "m.pt", architecture))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mean": torch.tensor([0.5])}, "mean and std of 3 values in .*, got mean of 1, std of 3"),
        ({"std": torch.tensor([0.2, 0.0, 0.2])}, "expected finite mean and positive std"),
        ({"mean": torch.tensor([0.4, float("nan"), 0.4])}, "expected finite mean and positive std"),
        ({"std": None}, "mean and std of 3 values in .*, got mean of 3"),
    ],
)
def test_constants_that_cannot_normalise_these_images_are_refused(changes, message, tmp_path):
    tensors = {**gowal(), **changes}
    torch.save({name: tensor for name, tensor in tensors.items() if tensor is not None}, tmp_path / "m.pt")
    assert re.search(message, refusal(tmp_path / "m.pt", GOWAL))


def test_constants_of_the_settings_that_contradict_the_file_are_refused(tmp_path):
    torch.save(gowal(), tmp_path / "m.pt")
    others = {**CONSTANTS, "std": [0.2023, 0.1994, 0.2010]}
    assert "leave them out of the architecture" in refusal(tmp_path / "m.pt", {**GOWAL, **others})


def test_network_normalised_twice_is_refused(tmp_path):
    torch.save(nn.Sequential(Normalize(), GowalNet(10, 1)).state_dict(), tmp_path / "m.pt")
    assert "expected the constants of one normalisation in " in refusal(tmp_path / "m.pt", GOWAL)


def test_architecture_that_cannot_take_the_images_is_refused(tmp_path):
    torch.save(trades(), tmp_path / "m.pt")
    with pytest.raises(ConfigError, match="at least 8 x 8 for resnet-18"):
        load_checkpoint(tmp_path / "m.pt", "resnet-18", (4, 4, 3), 10)
    grey = ArchitectureSettings(name="wrn-10-1", mean=(0.5,), std=(0.5,))
    with pytest.raises(ConfigError, match="mean and std of 3 values, one per image channel, got 1"):
        load_checkpoint(tmp_path / "m.pt", grey, SHAPE, 10)
