# ruff: noqa: E501 (messages stand whole)
from collections.abc import Callable
from typing import Any

import pytest

from pumalib.errors import ConfigError
from pumalib.study.file import load_merged_study
from pumalib.study.study import Study

Put = Callable[..., dict[str, Any]]
TRI_LEVEL = {"pool": "real", "method": "tri_level", "architectures": ["mlp"]}
ROBUST_FEATURES = {"pool": "digits+100", "method": "robust_features", "model": "trades"}


@pytest.fixture
def learned(study: dict[str, Any]) -> dict[str, Any]:
    """Return a study with two learned pools, and a third learned from one of them."""
    study["pools"]["learned"] = {"learned": dict(TRI_LEVEL)}
    study["pools"]["robustified"] = {"learned": dict(ROBUST_FEATURES)}
    study["pools"]["again"] = {"learned": {**TRI_LEVEL, "pool": "robustified"}}
    study["runs"]["natural"] = {"pool": "learned", "training": {"method": "natural"}}
    study["runs"]["late"] = {"pool": "again", "training": {"method": "natural"}}
    return study


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("pools|learned|learned|pool", "rael",
         'expected the name of a pool, got "rael"; did you mean "real"? at pools.learned.learned.pool'),
        ("pools|learned|learned|pool", "learned",
         "expected a pool learned from another, got learned -> learned at pools.learned.learned.pool; start from a pool of a dataset"),
        ("pools|robustified|learned|pool", "again",
         "expected a pool learned from another, got robustified -> again -> robustified at pools.robustified.learned.pool"),
        ("pools|robustified|learned|model", "trade",
         'expected the name of a run, got "trade"; did you mean "trades"? at pools.robustified.learned.model'),
        ("pools|robustified|learned|model", "late",
         "without a cycle, got "),
        ("pools|learned|learned|unrolled_steps", -1,
         "expected unrolled_steps to be greater than or equal to 0, got -1 at pools.learned.learned.unrolled_steps"),
        ("pools|learned|learned|bound", -0.1,
         "expected bound to be greater than or equal to 0, got -0.1 at pools.learned.learned.bound"),
        ("pools|learned|learned|bound", "-8/255",
         "expected bound to be greater than or equal to 0, got '-8/255'"),
        ("pools|learned|learned|step_size", 0,
         "expected step_size to be greater than 0, got 0 at pools.learned.learned.step_size"),
        ("pools|learned|learned|momentum", 1, "expected momentum to be less than 1, got 1 at pools.learned.learned.momentum"),
        ("pools|learned|learned|networks", 0, "expected networks to be greater than 0, got 0 at pools.learned.learned.networks"),
        ("pools|learned|learned|max_age", 0, "expected max_age to be greater than 0, got 0"),
        ("pools|learned|learned|steps", True, "expected another value than true or false for steps, got True"),
        ("pools|learned|learned|architectures", [], "expected at least 1 under architectures, got none"),
        ("pools|learned|learned|architectures", ["mlp", "convnet"],
         "expected a network without batch normalisation, whose training can be unrolled, got convnet at pools.learned.learned.architectures[1]; use mlp or small-cnn"),
        ("pools|learned|learned|architectures", [{"name": "mlp", "mean": [0, 0, 0], "std": [1, 1, 1]}],
         "expected mean and std of 1 values, one per image channel, got 3 at pools.learned.learned.architectures[0]"),
        ("pools|learned|learned|architectures", ["mpl"],
         'got "mpl"; did you mean "mlp"? at pools.learned.learned.architectures[0].name'),
        ("pools|learned|learned|method", "trilevel",
         "expected method tri_level or robust_features, got 'trilevel'; did you mean \"tri_level\"? at pools.learned.learned"),
        ("pools|learned|learned|model", "trades", 'expected a known key, got "model"'),
        ("pools|learned|learned|update", "adm", """expected update adam or sign, got 'adm'; did you mean "adam"? at"""),
        ("pools|robustified|learned|features", "last", "expected features penultimate or logits, got 'last'"),
        ("pools|learned|dataset", "digits", "expected exactly one of dataset and learned, got both at pools.learned"),
        ("pools|learned|learned", None, "expected exactly one of dataset and learned, got none at pools.learned"),
        ("pools|learned|synthetic", {"method": "held_out"},
         "expected no synthetic beside learned; give it to the pool that learning starts from at pools.learned"),
        ("scores|margin|pool", "real", "expected a score of pool digits+100, got margin, a score of pool real"),
        ("runs|late|prune", [{"by": "margin", "drop": "easiest", "fraction": 0.1}],
         "expected a score of pool again, got margin, a score of pool digits+100, at runs.late.prune[0].by"),
        ("reports|near", {"kind": "nearest_neighbours", "pool": "learned"}, "at reports.near.pool"),
    ],
)  # fmt: skip
def test_mistakes_in_learned_pools_are_found_before_any_job(
    learned: dict[str, Any], put: Put, path: str, value: Any, message: str
) -> None:
    load_merged_study(learned, [])
    with pytest.raises(ConfigError) as error:
        load_merged_study(put(learned, path, value), [])
    assert message in str(error.value)
    assert str(error.value).startswith("expected")
    assert "\n" not in str(error.value)


def test_cycle_over_a_learned_pool_is_spelled_out(learned: dict[str, Any]) -> None:
    learned["runs"]["trades"]["pool"] = "robustified"
    learned["scores"] = {}
    learned["runs"] = {"trades": learned["runs"]["trades"]}
    with pytest.raises(ConfigError, match=r"without a cycle, got (runs\.trades|pools\.robustified) -> "):
        load_merged_study(learned, [])


def test_model_of_another_dataset_is_refused(learned: dict[str, Any]) -> None:
    learned["pools"]["fashion"] = {"dataset": "fashion"}
    learned["pools"]["robustified"]["learned"]["pool"] = "fashion"
    message = "expected a run on dataset fashion, as the pool is, got trades, trained on digits, at pools.robustified"
    with pytest.raises(ConfigError, match=message):
        load_merged_study(learned, [])


def test_learned_pool_has_the_dataset_it_starts_from_and_a_file_a_seed(learned: dict[str, Any]) -> None:
    learned["datasets"]["fashion"] = {"source": "fashion_mnist"}
    learned["pools"]["fashion"] = {"dataset": "fashion"}
    learned["pools"]["fashion-learned"] = {"learned": {**TRI_LEVEL, "pool": "fashion"}}
    study = load_merged_study(learned, [])
    assert isinstance(study, Study)
    assert study.pools_behind("again") == ("again", "robustified", "digits+100")
    assert study.dataset_of_run("late") == "digits"
    assert study.pool_at("fashion", 3) == ""
    assert study.pool_at("fashion-learned", 3) == "/seed3"


def test_run_depends_on_the_model_behind_its_pool(learned: dict[str, Any]) -> None:
    study = load_merged_study(learned, [])
    assert isinstance(study, Study)
    assert study.behind_run("late", 1) == ([("trades", 1)], [])
    assert study.behind_run("natural", 1) == ([], [])
    assert learned_behind(study, "late") == [("again", 1), ("robustified", 1)]
    assert learned_behind(study, "natural") == [("learned", 1)]
    assert learned_behind(study, "trades") == []


def learned_behind(study: Study, run: str) -> list[tuple[str, int]]:
    """Return the learned pools behind a run with seed 1."""
    return [each for each in study.pools_behind_run(run, 1) if study.settings.pools[each[0]].learned is not None]
