import subprocess
import sys

import pytest

from pumalib.errors import ConfigError
from pumalib.synthesis.settings import EdmSettings

REQUIRED = {
    "method": "edm",
    "dataset": "digits",
    "width": 64,
    "num_blocks": 2,
    "steps": 10,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "averaging": 0.99,
    "sampling_batch_size": 8,
}


def test_defaults_are_those_of_the_paper():
    settings = EdmSettings(**REQUIRED)
    assert (settings.sigma_data, settings.p_mean, settings.p_std) == (0.5, -1.2, 1.2)
    assert (settings.sampling_steps, settings.sigma_min, settings.sigma_max, settings.rho) == (
        18,
        0.002,
        80,
        7,
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("method", "ddpm"),
        ("dataset", "../elsewhere"),
        ("network", "transformer"),
        ("width", 20),
        ("width", 0),
        ("num_blocks", 0),
        ("steps", 0),
        ("batch_size", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("averaging", 1.0),
        ("sigma_data", 0.0),
        ("p_mean", float("nan")),
        ("p_std", 0.0),
        ("sampling_steps", 1),
        ("sigma_min", 0.0),
        ("sigma_min", 80.0),
        ("sigma_max", 0.001),
        ("rho", 0.5),
        ("sampling_batch_size", 0),
        ("unknown", 1),
    ],
)
def test_impossible_values_are_refused(key, value):
    with pytest.raises(ConfigError):
        EdmSettings(**{**REQUIRED, key: value})


def test_every_field_is_described():
    properties = EdmSettings.model_json_schema()["properties"]
    assert [name for name, field in properties.items() if not field.get("description")] == []


def test_settings_do_not_import_torch():
    code = "import sys, pumalib.synthesis.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
