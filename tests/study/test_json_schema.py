import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pumalib.setting_errors import NAME_PATTERN
from pumalib.settings import Settings
from pumalib.study.study import json_schema

ROOT = Path(__file__).parents[2]
OVERRIDES = ROOT / "studies/overrides"
"""What is laid over a study is none by itself."""
TRACKED = subprocess.run(["git", "ls-files", "studies"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
STUDIES = [
    ROOT / "config.yaml",
    *(ROOT / name for name in TRACKED.split() if name.endswith(".yaml") and (ROOT / name).parent != OVERRIDES),
]
"""Of the project; a reader's own may lie beside them."""


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json_schema())


def test_schema_is_valid_draft_2020_12() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())


def test_stored_schema_is_what_the_command_prints() -> None:
    command = [sys.executable, "-m", "pumalib", "schema"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    stored = (ROOT / "schemas/study.json").read_text(encoding="utf-8")
    assert stored == printed, "run `python -m pumalib schema > schemas/study.json`"


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_study_satisfies_the_schema(validator: jsonschema.Draft202012Validator, path: Path) -> None:
    validator.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_study_names_its_schema_for_editors(path: Path) -> None:
    first_line = path.read_text(encoding="utf-8").splitlines()[0]
    _, _, target = first_line.partition("$schema=")
    assert (path.parent / target).resolve() == (ROOT / "schemas/study.json").resolve()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("sedes", [1]),
        ("seeds", []),
        ("seeds", "one"),
        ("threat|epsilon", "eight"),
        ("threat|norm", "l1"),
        ("defaults|training|betta", 1),
        ("runs|../x", {}),
        ("scores|margin|model", 3),
        ("attacks|cw|method", "cw"),
        ("reports|table|kind", "compare"),
        ("datasets|digits|source", "digit"),
    ],
)
def test_schema_refuses_what_the_study_refuses(
    validator: jsonschema.Draft202012Validator, study: dict[str, Any], put: Any, path: str, value: object
) -> None:
    validator.validate(study)
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(put(study, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("threat|epsilon", "8/255"),
        ("scores|margin|model", {"run": "trades", "seed": 0}),
        ("scores|margin|model", {"checkpoint": "model.safetensors"}),
        ("scores|margin|model", {"checkpoint": "m.pt", "architecture": "wrn-28-10", "weights": "averaged"}),
        ("defaults|architecture", {"name": "mlp", "width": 8}),
        ("runs|trades", None),
    ],
)
def test_schema_accepts_every_spelling_of_a_value(
    validator: jsonschema.Draft202012Validator, study: dict[str, Any], put: Any, path: str, value: object
) -> None:
    validator.validate(put(study, path, value))


def subclasses(cls: type[Settings]) -> set[type[Settings]]:
    direct = set(cls.__subclasses__())
    return direct.union(*[subclasses(child) for child in direct])


def test_every_key_of_a_study_is_explained() -> None:
    tags = {"method", "source", "policy", "kind"}
    silent = [
        f"{cls.__name__}.{name}"
        for cls in subclasses(Settings)
        if cls.__module__.startswith("pumalib.") and cls.__name__ != "Run"
        for name, field in cls.model_fields.items()
        if not field.description and name not in tags
    ]
    assert silent == []


@pytest.mark.parametrize("model", ["StudySettings", "PerceptronStudySettings"])
def test_names_in_the_schema_follow_the_one_pattern(model: str) -> None:
    assert json.dumps(NAME_PATTERN) in json.dumps(json_schema()["$defs"][model]["properties"]["study"])
