"""A checkpoint of another training code computes here what it computes there."""

from collections import OrderedDict

import pytest
import torch
from foreign_networks import (
    CifarBlock,
    CifarNet,
    CifarPreActBlock,
    GowalBlock,
    GowalNet,
    Normalize,
    TradesWideNet,
    randomized,
)
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from pumalib.files.artifacts import file_fingerprint
from pumalib.models.build import build_model
from pumalib.models.imported import load_checkpoint, load_imported
from pumalib.models.settings import ArchitectureSettings

SHAPE = (32, 32, 3)
CONSTANTS = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2471, 0.2435, 0.2616]}
GOWAL = {"name": "wrn-10-2", "activation": "silu", "strided_padding": "end"}


def torchvision_resnet():
    model = pytest.importorskip("torchvision").models.resnet18(num_classes=10)
    model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return model


@torch.no_grad()
def assert_same_logits(model, other, shape=SHAPE):
    """Compare in double precision, where nothing but another network shows."""
    height, width, channels = shape
    images = torch.rand(3, channels, height, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(model.double()(images), other.double()(images))


def imported(path, architecture, **options):
    return load_checkpoint(path, ArchitectureSettings.model_validate(architecture), SHAPE, 10, **options)


@pytest.mark.parametrize(
    ("make", "architecture"),
    [
        (lambda: CifarNet(CifarBlock, "bn1"), "resnet-18"),
        (lambda: CifarNet(CifarBlock, "bn1", head="fc"), "resnet-18"),
        (torchvision_resnet, "resnet-18"),
        (lambda: CifarNet(CifarPreActBlock, "bn"), "preactresnet-18"),
        (lambda: CifarNet(CifarPreActBlock, "bn", head="fc"), "preactresnet-18"),
        (lambda: TradesWideNet(10, 1), "wrn-10-1"),
        (lambda: TradesWideNet(16, 2, has_unused=True), "wrn-16-2"),
        (lambda: GowalNet(16, 1, GowalBlock), {"name": "wrn-16-1", "strided_padding": "end"}),
        (lambda: GowalNet(10, 2), GOWAL),
        (lambda: GowalNet(10, 2), {**GOWAL, **CONSTANTS}),
        (lambda: GowalNet(10, 2, keeps_constants=False), {**GOWAL, **CONSTANTS}),
    ],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_foreign_network_computes_here_what_it_computes_there(make, architecture, suffix, tmp_path):
    network = randomized(make())
    path = tmp_path / f"elsewhere{suffix}"
    (torch.save if suffix == ".pt" else save_file)(network.state_dict(), path)
    assert_same_logits(imported(path, architecture), network)


@pytest.mark.parametrize(
    "wrap",
    [
        nn.DataParallel,
        AveragedModel,
        torch.compile,
        nn.Sequential,
        lambda network: nn.DataParallel(nn.Sequential(network)),
        lambda network: nn.Sequential(Normalize(), network),
        lambda network: nn.DataParallel(nn.Sequential(OrderedDict(normalize=Normalize(), model=network))),
        lambda network: nn.Sequential(Normalize(("mu", "sigma")), network),
    ],
)
def test_wrappers_around_a_network_are_taken_off(wrap, tmp_path):
    wrapped = wrap(randomized(TradesWideNet(10, 1))).eval()
    torch.save(wrapped.state_dict(), tmp_path / "m.pt")
    same = wrapped._orig_mod if hasattr(wrapped, "_orig_mod") else wrapped
    assert_same_logits(imported(tmp_path / "m.pt", "wrn-10-1"), same)


def test_constants_that_a_wrapper_does_not_keep_come_from_the_settings(tmp_path):
    wrapped = nn.DataParallel(nn.Sequential(Normalize(persistent=False), randomized(TradesWideNet(10, 1)))).eval()
    torch.save(wrapped.state_dict(), tmp_path / "m.pt")
    settings = {"name": "wrn-10-1", "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
    assert_same_logits(imported(tmp_path / "m.pt", settings), wrapped)


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net", "ema_model_state_dict", "model_ema"])
def test_state_dict_is_found_beside_whatever_else_a_training_keeps(key, tmp_path):
    network = randomized(GowalNet(10, 2))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1).state_dict()
    torch.save({"epoch": 3, key: network.state_dict(), "optimizer": optimizer}, tmp_path / "m.pt")
    assert_same_logits(imported(tmp_path / "m.pt", GOWAL), network)


@pytest.mark.parametrize(
    ("model_key", "averaged_key"),
    [("unaveraged_model_state_dict", "model_state_dict"), ("state_dict", "ema_state_dict"), ("model", "model_ema")],
)
def test_settings_choose_between_the_last_and_the_averaged_weights(model_key, averaged_key, tmp_path):
    last, averaged = (randomized(GowalNet(10, 2, keeps_constants=False), seed) for seed in (1, 2))
    sets = {
        model_key: nn.DataParallel(nn.Sequential(last)).state_dict(),
        averaged_key: nn.DataParallel(nn.Sequential(averaged)).state_dict(),
    }
    torch.save(sets, tmp_path / "m.pt")
    settings = {**GOWAL, **CONSTANTS}
    assert_same_logits(imported(tmp_path / "m.pt", settings, weights="model"), last)
    assert_same_logits(imported(tmp_path / "m.pt", settings, weights="averaged"), averaged)


def test_counts_of_batches_may_be_missing_as_in_old_files(tmp_path):
    network = randomized(TradesWideNet(10, 1))
    old = {name: tensor for name, tensor in network.state_dict().items() if "num_batches" not in name}
    torch.save(old, tmp_path / "m.pt")
    assert_same_logits(imported(tmp_path / "m.pt", "wrn-10-1"), network)


@pytest.mark.parametrize("name", ["mlp", "convnet", "resnet-18", "preactresnet-18", "wrn-10-1"])
@pytest.mark.parametrize("constants", [{}, {"mean": [0.5], "std": [0.25]}])
@pytest.mark.parametrize("wrap", [nn.Sequential, nn.DataParallel, lambda network: network])
def test_model_of_this_library_survives_an_export_and_an_import(name, constants, wrap, tmp_path):
    settings = ArchitectureSettings(name=name, **constants)
    model = build_model(settings, (8, 8, 1), 3, seed=1)
    model(torch.rand(8, 1, 8, 8))  # moves the running statistics
    torch.save(wrap(model.eval()).state_dict(), tmp_path / "m.pt")
    again = load_checkpoint(tmp_path / "m.pt", name, (8, 8, 1), 3)
    torch.testing.assert_close(again.state_dict(), model.state_dict(), rtol=0, atol=0)
    assert not any(module.training for module in again.modules())


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda network: network])
def test_class_of_ones_own_keeps_names_that_begin_like_a_wrappers(wrap, tmp_path, monkeypatch):
    (tmp_path / "users_own_net.py").write_text(
        "from torch import nn\n"
        "def net(image_shape, num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    torch.save(wrap(network).state_dict(), tmp_path / "m.pt")
    model = load_checkpoint(tmp_path / "m.pt", "users_own_net:net", (8, 8, 1), 3)
    assert_same_logits(model, network, (8, 8, 1))


def test_imported_model_is_known_by_its_file_and_the_images_it_is_to_look_at(tmp_path):
    network = randomized(TradesWideNet(10, 1))
    torch.save(network.state_dict(), tmp_path / "m.pt")
    classes = tuple("abcdefghij")
    trained = load_imported(tmp_path / "m.pt", ArchitectureSettings(name="wrn-10-1"), SHAPE, classes, None, "cpu")
    assert trained.fingerprint == file_fingerprint(tmp_path / "m.pt")
    assert (trained.image_shape, trained.class_names) == (SHAPE, classes)
    assert_same_logits(trained.model, network)
