import importlib
import math
from functools import partial

import pytest
import torch
from torch import nn

from pumalib.models.settings import ArchitectureSettings, architecture_module

PUBLISHED_PARAMETERS = {  # 10 classes, 32 x 32 x 3
    "resnet-18": 11_173_962,
    "preactresnet-18": 11_172_170,
    "wrn-16-10": 17_116_634,
    "wrn-28-10": 36_479_194,
    "wrn-40-2": 2_243_546,
    "wrn-70-16": 266_796_506,
}
WITH_WIDTH = ("mlp", "convnet", "small-cnn")
FAMILIES = ["mlp", "convnet", "small-cnn", "resnet-18", "preactresnet-18", "wrn-28-10"]


def build(name, image_shape=(32, 32, 3), num_classes=10, activation="relu", width=None):
    family = importlib.import_module(architecture_module(name))
    return family.build(ArchitectureSettings(name=name, activation=activation, width=width), image_shape, num_classes)


def build_without_weights(*args, **kwargs):
    with torch.device("meta"):
        return build(*args, **kwargs)


def num_parameters(model):
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED_PARAMETERS.items())
def test_parameter_count_is_the_published_one(name, parameters):
    assert num_parameters(build_without_weights(name)) == parameters


def test_parameter_count_of_mlp_and_convnet_follows_from_their_widths():
    assert num_parameters(build_without_weights("mlp", (8, 8, 1), width=5)) == (64 + 1) * 5 + 6 * 5 + 6 * 10
    convolutions = 9 * (1 * 4 + 4 * 8 + 8 * 8 + 8 * 16)
    normalisations = 2 * (4 + 8 + 8 + 16)
    classifier = (16 + 1) * 10
    model = build_without_weights("convnet", (8, 8, 1), width=4)
    assert num_parameters(model) == convolutions + normalisations + classifier


def test_parameter_count_of_the_small_cnn_is_the_published_one_on_mnist():
    assert num_parameters(build_without_weights("small-cnn", (28, 28, 1))) == 166_406


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 28, 32, 33, 64])
def test_logits_have_one_row_an_image_and_one_column_a_class(name, channels, side):
    model = build_without_weights(name, (side, side, channels), num_classes=7)
    logits = model(torch.zeros(2, channels, side, side, device="meta"))
    assert logits.shape == (2, 7)


@pytest.mark.parametrize("name", FAMILIES)
def test_images_need_not_be_square(name):
    model = build_without_weights(name, (8, 24, 3))
    assert model(torch.zeros(2, 3, 8, 24, device="meta")).shape == (2, 10)


@pytest.mark.parametrize("name", FAMILIES)
def test_silu_replaces_every_relu(name):
    def count(activation, kind):
        model = build_without_weights(name, activation=activation)
        return sum(isinstance(module, kind) for module in model.modules())

    assert count("relu", nn.ReLU) == count("silu", nn.SiLU) > 0
    assert count("silu", nn.ReLU) == count("relu", nn.SiLU) == 0


def randomize(model):
    """Give every weight and statistic a random value, so that none of them can be mixed up unseen."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            # A small gain keeps the logits of a deep random network within the range of float64 comparison.
            scale = 1.0 if tensor.ndim == 1 else tensor[0].numel() ** -0.5
            noise = torch.rand_like(tensor) + 0.5 if "var" in name else torch.randn_like(tensor)
            tensor.copy_(noise * scale)


def random_images(side):
    return torch.rand(2, 3, side, side, dtype=torch.float64)


@pytest.mark.parametrize("side", [8, 33])
def test_resnet_18_computes_what_torchvision_computes(side):
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    theirs = theirs.double().eval()
    randomize(theirs)
    ours = build("resnet-18").double().eval()
    # Both list their tensors in the order of the computation.
    ours.load_state_dict(dict(zip(ours.state_dict().keys(), theirs.state_dict().values(), strict=True)), strict=True)
    images = random_images(side)
    torch.testing.assert_close(ours(images), theirs(images))


def timm_preactivated(num_blocks, channels, stem_channels, activation):
    """Assemble timm's own pre-activated residual network, with a CIFAR stem."""
    resnetv2 = pytest.importorskip("timm.models.resnetv2")
    layers = importlib.import_module("timm.layers")
    model = resnetv2.ResNetV2(
        layers=[num_blocks] * len(channels),
        channels=channels,
        stem_chs=stem_channels,
        num_classes=10,
        basic=True,
        bottle_ratio=1.0,
        act_layer=nn.ReLU if activation == "relu" else nn.SiLU,
        norm_layer=layers.BatchNormAct2d,
        conv_layer=partial(layers.create_conv2d, bias=False),
    )
    model.stem = nn.Sequential()
    model.stem.add_module("conv", nn.Conv2d(3, stem_channels, 3, padding=1, bias=False))
    return model


def timm_name(name):
    """Translate the name of one of our tensors into timm's."""
    name = name.replace("stem.", "stem.conv.").replace("classifier.", "head.fc.")
    if name.startswith("stages."):
        _, stage, block, rest = name.split(".", 3)
        name = f"stages.{stage}.blocks.{block}.{rest.replace('shortcut.', 'downsample.conv.')}"
    return name


@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize(
    ("name", "num_blocks", "channels", "stem_channels"),
    [
        ("preactresnet-18", 2, (64, 128, 256, 512), 64),
        ("wrn-16-2", 2, (32, 64, 128), 16),
        ("wrn-10-1", 1, (16, 32, 64), 16),
    ],
)
def test_preactivated_networks_compute_what_timm_computes(name, num_blocks, channels, stem_channels, activation):
    torch.manual_seed(0)
    theirs = timm_preactivated(num_blocks, channels, stem_channels, activation).double().eval()
    randomize(theirs)
    weights = theirs.state_dict()
    ours = build(name, activation=activation).double().eval()
    assert len(ours.state_dict()) == len(weights)
    ours.load_state_dict(
        {key: weights[timm_name(key)].reshape(value.shape) for key, value in ours.state_dict().items()}
    )
    for side in (8, 33):
        images = random_images(side)
        torch.testing.assert_close(ours(images), theirs(images))


def test_wide_resnet_starts_he_normal_over_the_outputs():
    torch.manual_seed(0)
    model = build("wrn-10-4")
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    for convolution in convolutions:
        expected = math.sqrt(2 / (convolution.kernel_size[0] ** 2 * convolution.out_channels))
        assert convolution.weight.std().item() == pytest.approx(expected, rel=0.1)
    assert not model.classifier.bias.any()


@pytest.mark.parametrize("name", ["mlp", "convnet", "small-cnn", "preactresnet-18"])
def test_model_leaves_its_images_as_they_were(name):
    images = torch.rand(2, 3, 8, 8)
    before = images.clone()
    build(name, (8, 8, 3), width=4 if name in WITH_WIDTH else None)(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("activation", ["relu", "silu"])
@pytest.mark.parametrize("name", ["mlp", "convnet", "small-cnn", "wrn-10-1"])
def test_input_gradient_is_the_finite_difference(name, activation):
    torch.manual_seed(0)
    width = None if name.startswith("wrn") else 3
    model = build(name, (4, 4, 1), num_classes=3, activation=activation, width=width).double().eval()
    images = torch.rand(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, (images,))
