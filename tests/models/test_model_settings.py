import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from pumalib.errors import ConfigError
from pumalib.models.settings import (
    ArchitectureSettings,
    architecture_module,
    architecture_origin,
    check_architecture,
)

BUILT_IN_MODULES = {
    "mlp": "pumalib.models.mlp",
    "convnet": "pumalib.models.convnet",
    "small-cnn": "pumalib.models.small_cnn",
    "resnet-18": "pumalib.models.resnet",
    "preactresnet-18": "pumalib.models.preact_resnet",
    "wrn-28-10": "pumalib.models.wide_resnet",
    "wrn-16-4": "pumalib.models.wide_resnet",
}


def test_bare_name_stands_for_settings_with_that_name():
    assert ArchitectureSettings.model_validate("mlp") == ArchitectureSettings(name="mlp")


def test_settings_survive_a_round_trip_through_json():
    settings = ArchitectureSettings(name="convnet", activation="silu", mean=(0.5,), std=(0.25,), width=8)
    assert ArchitectureSettings.model_validate_json(settings.model_dump_json()) == settings


def test_normalisation_may_be_written_in_fractions():
    settings = ArchitectureSettings.model_validate({"name": "mlp", "mean": ["51/255"], "std": ["102/255"]})
    assert (settings.mean, settings.std) == ((0.2,), (0.4,))


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("resnet18", 'got "resnet18"; did you mean "resnet-18"'),
        ("nothing", "valid: convnet, mlp"),
        ("timm:", 'got "timm:"'),
        ("my module:Class", 'got "my module:Class"'),
        ("wrn-28", 'expected "wrn-<depth>-<width>"'),
        ("wrn-27-10", "expected a depth of 6n .* got 27"),
        ("wrn-4-10", "expected a depth of 6n .* got 4"),
        ({"name": "mlp", "mean": [0.5]}, "expected both mean and std or neither, got no std"),
        ({"name": "mlp", "std": [0.5]}, "expected both mean and std or neither, got no mean"),
        ({"name": "mlp", "mean": [0.5], "std": [0.5, 0.5]}, "alike in length, got 1 and 2"),
        ({"name": "mlp", "mean": [0.5], "std": [0.0]}, "greater than 0"),
        ({"name": "mlp", "mean": [float("nan")], "std": [0.5]}, "finite"),
        ({"name": "mlp", "width": 0}, "greater than 0"),
        ({"name": "resnet-18", "width": 64}, 'width only with mlp or convnet or small-cnn, got it with "resnet-18"'),
        ({"name": "resnet-18", "strided_padding": "end"}, 'strided_padding only with wrn-.* got it with "resnet-18"'),
        ({"name": "wrn-10-1", "strided_padding": "left"}, "'both' or 'end'"),
        ({"name": "timm:resnet18", "activation": "silu"}, "activation only with a built-in architecture"),
        ({"name": "models:Net", "activation": "silu"}, "activation only with a built-in architecture"),
        ({"name": "mlp", "activation": "gelu"}, "'relu' or 'silu'"),
        ({"name": "mlp", "depth": 3}, "depth"),
    ],
)
def test_impossible_settings_are_refused(written, message):
    with pytest.raises(ValidationError, match=message):
        ArchitectureSettings.model_validate(written)


def test_json_schema_accepts_what_the_settings_accept():
    jsonschema = pytest.importorskip("jsonschema")
    schema = ArchitectureSettings.model_json_schema()
    jsonschema.validate("mlp", schema)
    jsonschema.validate({"name": "mlp", "mean": [0.5], "std": ["1/2"]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"name": "mlp", "depth": 3}, schema)


@pytest.mark.parametrize(("name", "module"), BUILT_IN_MODULES.items())
def test_built_in_architecture_is_defined_in_its_own_module(name, module):
    assert (architecture_module(name), architecture_origin(name)) == (module, "built-in")


def test_foreign_architectures_name_the_module_that_defines_them():
    assert architecture_module("timm:resnet18") == "pumalib.models.timm_adapter"
    assert architecture_module("lab.models:Net") == "lab.models"
    assert [architecture_origin(name) for name in ("timm:resnet18", "lab.models:Net")] == ["timm", "user"]


def test_unknown_architecture_is_refused_with_the_nearest_name():
    with pytest.raises(ConfigError, match='did you mean "preactresnet-18"'):
        architecture_module("preact-resnet18")


def test_checking_a_built_in_architecture_does_not_import_torch():
    program = (
        "import sys\n"
        "from pumalib.models.settings import ArchitectureSettings, check_architecture\n"
        f"for name in {list(BUILT_IN_MODULES)}:\n"
        "    check_architecture(ArchitectureSettings(name=name), (32, 32, 3), 10)\n"
        "print('torch' in sys.modules, 'timm' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]


@pytest.mark.parametrize(
    ("name", "minimum"), [("convnet", 4), ("small-cnn", 4), ("resnet-18", 8), ("preactresnet-18", 8), ("wrn-28-10", 4)]
)
def test_images_smaller_than_the_strides_are_refused(name, minimum):
    settings = ArchitectureSettings(name=name)
    check_architecture(settings, (minimum, minimum, 1), 10)
    with pytest.raises(ConfigError, match=f"at least {minimum} x {minimum} .* got {minimum} x {minimum - 1}"):
        check_architecture(settings, (minimum, minimum - 1, 1), 10)


@pytest.mark.parametrize(
    ("image_shape", "num_classes", "message"),
    [
        ((8, 8, 3), 10, "expected mean and std of 3 values, one per image channel, got 1"),
        ((8, 8, 1), 1, "expected at least 2 classes, got 1"),
        ((8, 8, 0), 10, "positive numbers"),
    ],
)
def test_data_that_do_not_fit_are_refused(image_shape, num_classes, message):
    settings = ArchitectureSettings(name="mlp", mean=(0.5,), std=(0.5,))
    with pytest.raises(ConfigError, match=message):
        check_architecture(settings, image_shape, num_classes)


def test_name_that_timm_does_not_know_is_refused_with_near_ones():
    pytest.importorskip("timm")
    with pytest.raises(ConfigError, match='got "reznet18"; nearest: resnet18'):
        check_architecture(ArchitectureSettings(name="timm:reznet18"), (32, 32, 3), 10)


def test_missing_timm_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)  # how Python itself marks a module as not importable
    with pytest.raises(ConfigError, match=r'needs the package timm .* pip install "pumalib\[timm\]"'):
        check_architecture(ArchitectureSettings(name="timm:resnet18"), (32, 32, 3), 10)


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        (None, "absent_models:Net", "found no absent_models.py in the folder you run from"),
        ("1 / 0\n", "failing_models:Net", "ZeroDivisionError"),
        ("class Net: ...\n", "typo_models:Nett", 'Nett in module typo_models, got none; did you mean "Net"'),
        ("Net = 3\n", "constant_models:Net", "an architecture Net in module constant_models, got a int"),
    ],
)
def test_user_module_without_the_class_is_refused(
    source: str | None, name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    if source is not None:
        (tmp_path / f"{name.partition(':')[0]}.py").write_text(source)
    with pytest.raises(ConfigError, match=message):
        check_architecture(ArchitectureSettings(name=name), (8, 8, 1), 10)


def test_padding_at_the_end_alone_needs_sides_that_halve_twice():
    settings = ArchitectureSettings(name="wrn-10-1", strided_padding="end")
    check_architecture(settings, (32, 8, 1), 10)
    with pytest.raises(ConfigError, match="multiples of 4 for wrn-10-1 with strided_padding end, got 32 x 30"):
        check_architecture(settings, (32, 30, 1), 10)
    check_architecture(ArchitectureSettings(name="wrn-10-1"), (32, 30, 1), 10)
