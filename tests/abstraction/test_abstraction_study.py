import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pumalib.abstraction.study import AbstractionStudy, parse_abstraction_study
from pumalib.errors import ConfigError
from pumalib.study.file import load_study
from pumalib.study.study import json_schema

ROOT = Path(__file__).parents[2]
STUDY: dict[str, Any] = {
    "study": "model",
    "seeds": [0, 1],
    "abstraction": {"weak_mean": 0.2, "robust": {"probability": 0.9}, "epsilons": [0.1, "2/5"]},
    "reports": {"figure": {"kind": "abstraction_curves", "student": "ridge"}},
}


@pytest.fixture
def model() -> dict[str, Any]:
    """A valid study of the abstraction model that a test may edit."""
    return copy.deepcopy(STUDY)


def test_study_goes_through_the_same_door() -> None:
    study = load_study(ROOT / "studies/abstraction.yaml")
    assert isinstance(study, AbstractionStudy)
    assert max(study.settings.abstraction.epsilons) >= 2 * study.settings.abstraction.weak_mean
    assert len(study.settings.seeds) >= 5


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("abstraction|epsilons", [0.1, 0.1], "expected each value once"),
        ("abstraction|epsilons", [-0.1], "at abstraction.epsilons[0]"),
        ("abstraction|weak_meen", 1, 'did you mean "weak_mean"? at abstraction.weak_meen'),
        ("abstraction|robust|probability", 0.5, "at abstraction.robust.probability"),
        ("abstraction|robust", {}, "expected a probability below 1 or a deviation above 0 under robust"),
        ("threat", {"epsilon": 0.1}, 'expected a known key, got "threat"'),
        ("reports|abstraction", {"kind": "abstraction_curves"}, "a target of the workflow"),
        ("reports|figure|learned_for", "all", "expected learned_for mean, ridge or both, got 'all'"),
    ],
)
def test_mistake_is_refused_with_its_place(
    model: dict[str, Any], put: Any, path: str, value: object, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        parse_abstraction_study(put(model, path, value), "study.yaml")
    assert message in str(error.value)
    assert "(study.yaml)" in str(error.value)


def test_schema_knows_the_model_beside_the_other_studies(model: dict[str, Any], study: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(model)
    validator.validate(study)
    for bad in ({**model, "sedes": [1]}, {**study, "abstraction": model["abstraction"]}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(bad)
