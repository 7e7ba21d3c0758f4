"""The key `primary`: one contrast a study, refused where its names are not there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pumalib.errors import ConfigError
from pumalib.reporting.needs import overlap_of_splits, primary_contrast
from pumalib.study.file import load_study
from pumalib.study.slices import settings_used
from pumalib.study.study import Study

PRIMARY = {"run": "puma", "against": "trades", "metric": "robust_accuracy", "attack": "cw"}


@pytest.fixture
def read_with(study: dict[str, Any], tmp_path: Path) -> Callable[..., Study]:
    """Return a reader of the valid study with a primary contrast, and other changes."""

    def make(primary: Any, **others: Any) -> Study:
        raw = {**study, "primary": primary, **others}
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(raw, sort_keys=False), encoding="utf-8")
        loaded = load_study(tmp_path / "study.yaml")
        assert isinstance(loaded, Study)
        return loaded

    return make


def test_the_contrast_is_the_first_report_with_its_attack_spelled_out(read_with: Callable[..., Study]) -> None:
    loaded = read_with({key: value for key, value in PRIMARY.items() if key != "attack"})
    assert next(iter(loaded.settings.reports)) == "primary"
    assert primary_contrast(loaded) == {**PRIMARY, "margin": pytest.approx(0.005), "split": "test"}
    assert "primary" not in settings_used(loaded)["reports"]
    assert settings_used(loaded)["primary"]["run"] == "puma"
    clean = read_with({**PRIMARY, "metric": "clean_accuracy", "attack": None, "margin": 1})
    assert primary_contrast(clean) == {
        "run": "puma",
        "against": "trades",
        "metric": "clean_accuracy",
        "attack": "none",
        "margin": 0.01,
        "split": "test",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": "pumma"}, 'expected the name of a run, got "pumma"; did you mean "puma"? at primary.run'),
        ({"against": "trads"}, 'expected the name of a run, got "trads"; did you mean "trades"? at primary.against'),
        ({"attack": "cv"}, 'expected the name of an attack, got "cv"; did you mean "cw"? at primary.attack'),
        ({"metric": "robust"}, "primary.metric"),
        ({"against": "puma"}, 'expected two runs, got "puma" as run and against'),
        ({"metric": "clean_accuracy"}, "expected no attack with clean_accuracy, got cw"),
        ({"margin": 0}, "primary.margin"),
        ({"marginn": 1}, 'did you mean "margin"? at primary.marginn'),
    ],
)
def test_a_contrast_of_what_is_not_there_is_refused_in_one_sentence(
    changes: dict[str, Any], message: str, read_with: Callable[..., Study]
) -> None:
    with pytest.raises(ConfigError) as error:
        read_with({**PRIMARY, **changes})
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_several_attacks_need_one_to_be_named(read_with: Callable[..., Study], study: dict[str, Any]) -> None:
    attacks = {**study["attacks"], "pgd": {"method": "pgd"}}
    with pytest.raises(ConfigError, match=r"expected primary\.attack, because puma and trades have cw, pgd in common"):
        read_with({**PRIMARY, "attack": None}, attacks=attacks)


def test_a_study_has_one_primary_contrast(read_with: Callable[..., Study], study: dict[str, Any]) -> None:
    second = {"kind": "primary", "contrast": PRIMARY}
    with pytest.raises(ConfigError, match=r"the key primary alone, got a report of kind primary at reports\.more"):
        read_with(PRIMARY, reports={"more": second})
    with pytest.raises(ConfigError, match='expected another name than "primary" under reports'):
        read_with(PRIMARY, reports={"primary": study["reports"]["table"]})


def test_test_rows_over_train_rows_are_those_of_the_seeded_split(
    read_with: Callable[..., Study], study: dict[str, Any]
) -> None:
    """scikit-learn's digits, 1,797 rows: a third is 593, and a tenth of the rest is kept for validation: 1,084."""
    digits = {"source": "digits", "split": "seeded", "test_fraction": 0.33, "validation_fraction": 0.1}
    loaded = read_with(PRIMARY, datasets={**study["datasets"], "digits": digits})
    assert overlap_of_splits(loaded, "puma") == pytest.approx(593 / 1084, abs=1e-3)
