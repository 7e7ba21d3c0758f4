import textwrap

import pytest
import torch
from torch import nn

from pumalib.errors import ConfigError
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings

DIGITS = (8, 8, 1)


@pytest.fixture
def user_architecture(tmp_path, monkeypatch):
    """Write a user's module with the given source and return a function that names a class in it."""
    module_name = f"users_{tmp_path.name}"  # modules stay imported: a name of its own for each test
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def write(source, class_name="Net"):
        header = "import torch\nfrom torch import nn\n"
        (tmp_path / f"{module_name}.py").write_text(header + textwrap.dedent(source))
        return ArchitectureSettings(name=f"{module_name}:{class_name}")

    return write


def weights_of(name, seed, image_shape=DIGITS):
    return build_model(ArchitectureSettings(name=name), image_shape, 10, seed).state_dict()


def are_equal(weights, others):
    return all(torch.equal(weights[key], others[key]) for key in weights)


@pytest.mark.parametrize("name", ["mlp", "convnet", "wrn-10-1"])
def test_same_seed_gives_same_weights_and_another_seed_others(name):
    first = weights_of(name, seed=3)
    torch.rand(5)  # whatever was drawn in between
    assert are_equal(first, weights_of(name, seed=3))
    assert not are_equal(first, weights_of(name, seed=4))


def test_seed_may_have_63_bits():
    assert are_equal(weights_of("mlp", 2**63 - 1), weights_of("mlp", 2**63 - 1))


def test_seed_alone_decides_and_gives_what_torch_gives_under_it():
    torch.manual_seed(11)
    expected = nn.Linear(64, 256).weight
    assert torch.equal(weights_of("mlp", seed=11)["hidden1.weight"], expected)


@pytest.mark.parametrize("name", ["convnet", "timm:resnet18"])
def test_global_random_state_is_undisturbed(name):
    if name.startswith("timm"):
        pytest.importorskip("timm")
    before = torch.get_rng_state()
    weights_of(name, seed=3, image_shape=(32, 32, 1))
    assert torch.equal(torch.get_rng_state(), before)


def test_model_is_on_the_cpu_whatever_the_default_device():
    with torch.device("meta"):
        weights = weights_of("convnet", seed=3)
    assert are_equal(weights, weights_of("convnet", seed=3))


@pytest.mark.parametrize(("mean", "std"), [((0.3,), (0.2,)), ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))])
def test_built_in_normalisation_is_the_normalisation_by_hand(mean, std):
    image_shape = (8, 8, len(mean))
    plain = build_model(ArchitectureSettings(name="convnet"), image_shape, 10, seed=1).eval()
    settings = ArchitectureSettings(name="convnet", mean=mean, std=std)
    normalized = build_model(settings, image_shape, 10, seed=1).eval()
    images = torch.rand(4, len(mean), 8, 8)
    by_hand = torch.stack([(images[:, c] - mean[c]) / std[c] for c in range(len(mean))], dim=1)
    torch.testing.assert_close(normalized(images), plain(by_hand))
    assert normalized.state_dict()["mean"].flatten().tolist() == pytest.approx(mean)


def test_width_sets_the_hidden_units_of_the_mlp():
    model = build_model(ArchitectureSettings(name="mlp", width=7), DIGITS, 10)
    assert model.hidden1.out_features == model.hidden2.out_features == 7


def test_architecture_that_does_not_fit_is_refused():
    with pytest.raises(ConfigError, match="at least 8 x 8"):
        build_model(ArchitectureSettings(name="resnet-18"), (4, 4, 1), 10)


def test_class_of_the_user_is_built_under_the_seed_and_normalised(user_architecture):
    settings = user_architecture("""
        class Net(nn.Sequential):
            def __init__(self, image_shape, num_classes):
                height, width, channels = image_shape
                super().__init__(nn.Flatten(), nn.Linear(height * width * channels, num_classes))
    """)
    first = build_model(settings, DIGITS, 10, seed=1)
    assert are_equal(first.state_dict(), build_model(settings, DIGITS, 10, seed=1).state_dict())
    normalized = build_model(settings.model_copy(update={"mean": (0.5,), "std": (0.5,)}), DIGITS, 10, seed=1)
    images = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(normalized(images), first(2 * images - 1))


def test_function_of_the_user_will_do(user_architecture):
    settings = user_architecture("""
        def make(num_classes, **others):
            return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))
    """, "make")  # fmt: skip
    assert build_model(settings, DIGITS, 10)(torch.rand(3, 1, 8, 8)).shape == (3, 10)


def test_trial_leaves_modes_and_statistics_as_the_user_set_them(user_architecture):
    settings = user_architecture("""
        class Net(nn.Module):
            def __init__(self, image_shape, num_classes):
                super().__init__()
                self.frozen = nn.BatchNorm2d(1).eval()
                self.norm = nn.BatchNorm2d(1)
                self.head = nn.Linear(64, num_classes)

            def forward(self, images):
                return self.head(self.norm(self.frozen(images)).flatten(1))
    """)
    model = build_model(settings, DIGITS, 10)
    assert [model.training, model.frozen.training, model.norm.training] == [True, False, True]
    assert model.norm.num_batches_tracked == model.frozen.num_batches_tracked == 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "class Net(nn.Module):\n    def __init__(self, classes): ...\n",
            r"callable as Net\(image_shape=\(height, width, channels\), num_classes=int\)",
        ),
        ("class Net:\n    def __init__(self, **options): ...\n", "expected .* torch.nn.Module, got Net"),
        (
            "def Net(image_shape, num_classes):\n    return nn.Flatten()\n",
            r"expected .* logits \[2, 10\] for 2 images, got \[2, 64\]",
        ),
        (
            "class Net(nn.Flatten):\n"
            "    def __init__(self, image_shape, num_classes): super().__init__()\n"
            "    def forward(self, images): return (images, images)\n",
            "got tuple",
        ),
        (
            "def Net(image_shape, num_classes):\n    return nn.Conv2d(3, 10, 3)\n",
            r"fails on a batch \[2, 1, 8, 8\] \(RuntimeError",
        ),
    ],
)
def test_class_of_the_user_that_breaks_the_contract_is_refused(source, message, user_architecture):
    settings = user_architecture(source)
    with pytest.raises(ConfigError, match=message):
        build_model(settings, DIGITS, 10)


def test_type_error_within_the_class_of_the_user_stays_visible(user_architecture):
    settings = user_architecture("def Net(image_shape, num_classes):\n    return nn.Linear('8')\n")
    with pytest.raises(TypeError, match="out_features"):
        build_model(settings, DIGITS, 10)


@pytest.mark.parametrize(("name", "image_shape"), [("resnet18", (32, 32, 3)), ("vit_tiny_patch16_224", (32, 48, 1))])
def test_timm_model_takes_the_channels_size_and_classes_of_the_data(name, image_shape):
    pytest.importorskip("timm")
    height, width, channels = image_shape
    model = build_model(ArchitectureSettings(name=f"timm:{name}"), image_shape, 7)
    assert model(torch.rand(2, channels, height, width)).shape == (2, 7)
    assert model.training


def test_timm_resnet18_has_the_parameters_torchvision_counts():
    pytest.importorskip("timm")
    model = build_model(ArchitectureSettings(name="timm:resnet18"), (32, 32, 3), 10)
    published, published_head, head = 11_689_512, 513 * 1000, 513 * 10
    assert sum(parameter.numel() for parameter in model.parameters()) == published - published_head + head


def test_timm_model_that_cannot_take_the_images_is_refused():
    pytest.importorskip("timm")
    with pytest.raises(ConfigError, match=r'"timm:convnext_atto" fails on a batch \[2, 1, 28, 28\]'):
        build_model(ArchitectureSettings(name="timm:convnext_atto"), (28, 28, 1), 10)
