from typing import Any

import pytest

from pumalib.errors import ConfigError
from pumalib.models.settings import ArchitectureSettings
from pumalib.study.file import load_merged_study


def test_run_without_overrides_is_the_defaults(study: dict[str, Any]) -> None:
    run = load_merged_study(study, []).runs["trades"]
    assert run.pool == "digits+100"
    assert run.architecture == ArchitectureSettings(name="mlp")
    assert (run.training.method, run.training.beta, run.training.attack_steps, run.training.epochs) == (
        "trades",
        5,
        3,
        2,
    )
    assert run.prune == ()
    assert run.epsilon.policy == "fixed"


def test_run_may_be_left_empty(study: dict[str, Any]) -> None:
    study["runs"]["trades"] = None
    assert load_merged_study(study, []).runs["trades"].training.epochs == 2


def test_training_is_merged_key_by_key(study: dict[str, Any]) -> None:
    study["runs"]["trades"] = {"training": {"epochs": 7}}
    training = load_merged_study(study, []).runs["trades"].training
    assert (training.epochs, training.beta, training.attack_steps) == (7, 5, 3)


def test_everything_but_training_is_overridden_whole(study: dict[str, Any]) -> None:
    study["defaults"]["architecture"] = {"name": "mlp", "width": 32, "activation": "silu"}
    study["defaults"]["prune"] = [{"by": "random", "fraction": 0.5}]
    study["runs"]["trades"] = {"architecture": {"name": "mlp", "width": 8}}
    study["runs"]["whole"] = {"prune": []}
    runs = load_merged_study(study, []).runs
    assert runs["trades"].architecture == ArchitectureSettings(name="mlp", width=8)
    assert runs["trades"].prune[0].fraction == 0.5
    assert runs["whole"].prune == ()


@pytest.mark.parametrize(("method", "attack_steps"), [("natural", None), ("pgd_at", 3)])
def test_run_of_another_method_drops_inherited_settings_that_mean_nothing_to_it(
    study: dict[str, Any], method: str, attack_steps: int | None
) -> None:
    study["runs"]["other"] = {"training": {"method": method}}
    training = load_merged_study(study, []).runs["other"].training
    assert (training.method, getattr(training, "attack_steps", None)) == (method, attack_steps)
    assert not hasattr(training, "beta")
    assert training.epochs == 2


def test_run_of_the_same_method_keeps_inherited_settings(study: dict[str, Any]) -> None:
    study["runs"]["same"] = {"training": {"method": "trades"}}
    assert load_merged_study(study, []).runs["same"].training.beta == 5


def test_own_setting_of_another_method_is_refused_not_dropped(study: dict[str, Any]) -> None:
    study["defaults"]["training"] = {"method": "natural"}
    study["runs"] = {"plain": {}, "trades": {"training": {"beta": 3}}}
    with pytest.raises(
        ConfigError, match=r"beta only with method trades, got method natural at runs\.trades\.training"
    ):
        load_merged_study(study, [])


@pytest.mark.parametrize("spelling", ["8/255", " 8 / 255 ", 8 / 255, "0.03137254901960784"])
def test_amount_may_be_spelled_as_a_fraction(study: dict[str, Any], spelling: object) -> None:
    study["threat"]["epsilon"] = spelling
    assert load_merged_study(study, []).settings.threat.epsilon == 8 / 255


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3"])
def test_exponents_that_yaml_leaves_as_text_are_numbers(study: dict[str, Any], text: str) -> None:
    study["runs"]["puma"]["epsilon"]["gap"] = text
    study["defaults"]["training"]["learning_rate"] = text
    run = load_merged_study(study, []).runs["puma"]
    assert run.epsilon.gap == run.training.learning_rate == 0.001  # type: ignore[union-attr]


def test_paths_have_the_seed_where_files_differ_between_seeds(study: dict[str, Any]) -> None:
    study["pools"]["fashion"] = {"dataset": "fashion"}
    checked = load_merged_study(study, [])
    assert checked.dataset_at("digits", 3) == "/seed3"
    assert checked.dataset_at("fashion", 3) == ""
    assert [checked.pool_at(pool, 3) for pool in ("real", "digits+100", "fashion")] == ["/seed3", "/seed3", ""]


def test_score_belongs_to_its_own_pool_or_the_default_one(study: dict[str, Any]) -> None:
    study["scores"]["other"] = {"method": "deepfool", "model": "trades", "pool": "real"}
    checked = load_merged_study(study, [])
    assert [checked.score_pool(score) for score in ("margin", "other")] == ["digits+100", "real"]
    assert checked.dataset_of_run("puma") == "digits"


def test_score_without_any_pool_is_refused(study: dict[str, Any]) -> None:
    del study["defaults"]["pool"]
    for run in study["runs"]:
        study["runs"][run]["pool"] = "digits+100"
    with pytest.raises(ConfigError, match=r"expected a pool for scores\.margin, or one under defaults \(config\)"):
        load_merged_study(study, [])
