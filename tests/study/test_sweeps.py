# ruff: noqa: E501 (messages stand whole)
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from pumalib.cli.main import main
from pumalib.errors import ConfigError
from pumalib.study.file import load_merged_study
from pumalib.study.part import part_of
from pumalib.study.study import Study, json_schema, parse_study
from pumalib.study.sweeps import written_out

Put = Callable[..., dict[str, Any]]
Capture = pytest.CaptureFixture[str]
BETAS = {"training.beta": [1, 5]}


@pytest.fixture
def swept(study: dict[str, Any]) -> dict[str, Any]:
    """Return a study with a sweep beside its runs."""
    study["runs"]["tuned"] = {"sweep": dict(BETAS)}
    return study


def read(raw: dict[str, Any]) -> Study:
    study = load_merged_study(raw, [])
    assert isinstance(study, Study)
    return study


def test_sweep_is_the_product_of_its_values_as_runs_in_its_place(swept: dict[str, Any]) -> None:
    swept["runs"] = {"trades": {}, "tuned": {"sweep": BETAS | {"training.learning_rate": [0.1, 0.05]}}, "last": {}}
    swept["scores"] = {}
    study = read(swept)
    found = {name: (run.training.beta, run.training.learning_rate) for name, run in study.trained.items()}  # type: ignore[union-attr]
    assert found == {
        "trades": (5, 0.2),
        "tuned-beta-1-learning_rate-0.1": (1, 0.1),
        "tuned-beta-1-learning_rate-0.05": (1, 0.05),
        "tuned-beta-5-learning_rate-0.1": (5, 0.1),
        "tuned-beta-5-learning_rate-0.05": (5, 0.05),
        "last": (5, 0.2),
    }
    assert list(study.runs) == list(found)
    assert study.sweeps["tuned"].runs == tuple(found)[1:5]


def test_run_of_a_sweep_is_the_run_that_spells_the_value(swept: dict[str, Any]) -> None:
    swept["runs"] |= {
        "spelled": {"training": {"epochs": 3, "beta": 1}, "prune": [{"by": "random", "fraction": 0.1}]},
        "tuned": {"sweep": BETAS, "training": {"epochs": 3}, "prune": [{"by": "random", "fraction": 0.1}]},
    }
    runs = read(swept).runs
    assert runs["tuned-beta-1"] == runs["spelled"]


def test_study_without_sweeps_comes_back_as_it_is(study: dict[str, Any]) -> None:
    assert written_out(study) == (study, {})


def test_sweep_of_nothing_is_a_plain_run(swept: dict[str, Any]) -> None:
    swept["runs"]["tuned"] = {"sweep": None}
    study = read(swept)
    assert (study.runs["tuned"], study.sweeps) == (study.runs["trades"], {})


def test_study_as_it_was_read_is_not_changed(swept: dict[str, Any]) -> None:
    swept["reports"]["table"]["runs"] = ["trades", "tuned"]
    before = copy.deepcopy(swept)
    plain, _ = written_out(swept)
    assert swept == before
    assert written_out(plain) == (plain, {})


@pytest.mark.parametrize(
    ("key", "values", "names"),
    [
        ("training.beta", [1, 5.0, 0.25], ["beta-1", "beta-5", "beta-0.25"]),
        ("training.learning_rate", ["2e-1", 1e-5], ["learning_rate-2e-1", "learning_rate-1e-05"]),
        ("training.horizontal_flip", [True, False], ["horizontal_flip-true", "horizontal_flip-false"]),
        ("training.samples_per_epoch", [None, 100], ["samples_per_epoch-none", "samples_per_epoch-100"]),
        ("architecture", ["mlp", "convnet"], ["architecture-mlp", "architecture-convnet"]),
        ("pool", ["real", "digits+100"], ["pool-real", "pool-digits+100"]),
        ("repetition", [0, 1], ["repetition-0", "repetition-1"]),
    ],
)
def test_name_tells_the_setting_and_its_value(
    swept: dict[str, Any], key: str, values: list[Any], names: list[str]
) -> None:
    swept["runs"]["tuned"] = {"sweep": {key: values}}
    assert read(swept).sweeps["tuned"].runs == tuple(f"tuned-{name}" for name in names)


def test_names_do_not_depend_on_the_order_in_the_file(swept: dict[str, Any]) -> None:
    names = []
    for keys in (["training.beta", "training.epochs"], ["training.epochs", "training.beta"]):
        swept["runs"]["tuned"]["sweep"] = {key: [1, 2] for key in keys}
        names.append(set(read(swept).sweeps["tuned"].runs))
    assert names[0] == names[1] == {f"tuned-beta-{beta}-epochs-{epochs}" for beta in (1, 2) for epochs in (1, 2)}


def test_name_has_the_whole_setting_where_two_end_alike(swept: dict[str, Any]) -> None:
    cuts = [{"by": "random"}, {"by": "margin", "drop": "easiest"}]
    swept["runs"]["tuned"] = {"prune": cuts, "sweep": {"prune.0.fraction": [0.1], "prune[1].fraction": [0.2, 0.25]}}
    study = read(swept)
    assert study.sweeps["tuned"].runs == (
        "tuned-prune.0.fraction-0.1-prune.1.fraction-0.2",
        "tuned-prune.0.fraction-0.1-prune.1.fraction-0.25",
    )
    assert [cut.fraction for cut in study.trained["tuned-prune.0.fraction-0.1-prune.1.fraction-0.2"].prune] == [
        0.1,
        0.2,
    ]  # type: ignore[union-attr]


def test_what_a_run_leaves_to_the_defaults_stays_as_they_have_it(swept: dict[str, Any]) -> None:
    swept["defaults"] |= {"architecture": {"name": "mlp", "width": 8}, "prune": [{"by": "random", "fraction": 0.5}]}
    swept["defaults"]["training"] |= {
        "attack_statistics": "running",
        "selective": {"fraction": 0.5, "warmup_epochs": 1},
    }
    swept["runs"]["tuned"] = {
        "sweep": {
            "architecture.activation": ["silu"],
            "prune.0.fraction": [0.1],
            "training.selective.warmup_epochs": [0],
        }
    }
    (name,) = read(swept).sweeps["tuned"].runs
    run = read(swept).trained[name]
    assert (run.architecture.width, run.architecture.activation) == (8, "silu")
    assert (run.prune[0].by, run.prune[0].fraction) == ("random", 0.1)  # type: ignore[union-attr]
    assert (run.training.selective.fraction, run.training.selective.warmup_epochs) == (0.5, 0)  # type: ignore[union-attr]
    assert run.training.epochs == 2


def test_model_trained_elsewhere_may_be_several(
    swept: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("first.pt", "second.pt"):
        (tmp_path / name).touch()
    swept["runs"]["theirs"] = {"sweep": {"checkpoint": ["first.pt", "second.pt"]}}
    assert list(read(swept).imported) == ["theirs-checkpoint-first.pt", "theirs-checkpoint-second.pt"]


def test_list_of_runs_may_name_the_whole_sweep(swept: dict[str, Any]) -> None:
    swept["defaults"]["track"] = {"correct": {}}
    swept["scores"]["difficulty"] = {"method": "classification_difficulty", "tracked": ["tuned"]}
    swept["attacks"]["cw"]["runs"] = ["trades", "pruned", "puma", "tuned"]
    swept["reports"] = {
        "table": {"kind": "comparison", "baseline": "trades", "runs": ["tuned", "puma"]},
        "figure": {"kind": "trade_off", "baseline": "trades", "attack": "cw", "frontiers": {"beta": ["tuned"]}},
    }
    study = read(swept)
    both = ("tuned-beta-1", "tuned-beta-5")
    assert study.settings.scores["difficulty"].tracked == both  # type: ignore[union-attr]
    assert study.settings.attacks["cw"].runs == ("trades", "pruned", "puma", *both)
    assert study.settings.reports["table"].runs == (*both, "puma")  # type: ignore[attr-defined]
    assert study.settings.reports["figure"].frontiers == {"beta": both}  # type: ignore[attr-defined]


def test_gate_may_ask_about_a_whole_sweep(swept: dict[str, Any]) -> None:
    swept["runs"]["weaker"] = {"epsilon": {"policy": "fixed"}, "sweep": {"epsilon.epsilon": [0.1, 0.15]}}
    swept["attacks"]["val"] = {"method": "cw_pgd", "steps": 2, "split": "validation"}
    swept["gate"] = {"run": "trades", "weaker": ["weaker"], "attack": "val"}
    gate = read(swept).settings.gate
    assert gate is not None
    assert gate.weaker == ("weaker-epsilon-0.1", "weaker-epsilon-0.15")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("reports|table|baseline", "tuned"),
        ("scores|margin|model", "tuned"),
        ("runs|puma|start_from", "tuned"),
        ("primary", {"run": "tuned", "against": "trades", "metric": "clean_accuracy"}),
    ],
)
def test_where_one_run_is_named_a_sweep_is_refused_with_its_runs(
    swept: dict[str, Any], put: Put, place: str, value: Any
) -> None:
    where = place.replace("|", ".") + (".run" if isinstance(value, dict) else "")
    with pytest.raises(ConfigError) as error:
        read(put(swept, place, value))
    assert str(error.value).startswith(
        'expected the name of one run, got "tuned", which is a sweep; did you mean one of tuned-beta-1, tuned-beta-5? '
        f"at {where} (config)"
    )


def test_long_sweep_is_told_in_part(swept: dict[str, Any]) -> None:
    swept["runs"]["tuned"]["sweep"] = {"training.beta": [*range(1, 10)]}
    swept["reports"]["table"]["baseline"] = "tuned"
    with pytest.raises(ConfigError, match=r"tuned-beta-5, tuned-beta-6 and 3 more\? at reports\.table\.baseline"):
        read(swept)


WHERE = "runs.tuned.sweep"
REFUSED = [
    ({}, f"expected at least 1 under sweep, got none at {WHERE} (config)"),
    ([1], f"expected sweep to be a mapping, got [1] at {WHERE} (config)"),
    ({"training.beta": []}, f"expected at least 1 under training.beta, got none at {WHERE}.training.beta (config)"),
    ({"training.beta": 5}, f"expected training.beta to be a list, got 5 at {WHERE}.training.beta (config)"),
    ({"training.beta": [1, 1.0]}, f"expected each value once, got [1, 1.0] at {WHERE}.training.beta (config)"),
    (
        {"training.learning_rate": ["1e-1", 0.1]},
        "expected runs that differ, got tuned-learning_rate-1e-1 and tuned-learning_rate-0.1 with the same settings at "
        f"{WHERE}; leave one of the values out (config)",
    ),
    (
        {"epsilon": [{"policy": "fixed"}]},
        "expected numbers, texts, true, false or null as values of a sweep, got {'policy': 'fixed'}; write a run of its own for it "
        f"at {WHERE}.epsilon (config)",
    ),
    ({"training.beta": [float("nan")]}, f"got nan; write a run of its own for it at {WHERE}.training.beta (config)"),
    ({"training.beta": [1, "x"]}, f"expected beta to be a number, got 'x' at {WHERE}.training.beta (config)"),
    ({"training.epochs": [2, -1]}, f"expected epochs to be greater than 0, got -1 at {WHERE}.training.epochs (config)"),
    ({"training.betta": [1]}, f'expected a known key, got "betta"; did you mean "beta"? at {WHERE}.training.betta (config)'),
    ({"trainings.beta": [1]}, f'expected a key of a run, got "trainings"; did you mean "training"? at {WHERE}.trainings.beta (config)'),
    ({"sweep": [1]}, f'expected a key of a run, got "sweep"; valid: architecture, checkpoint, epsilon, far, pool, prune, relabel, repetition, start_from, track, training, weights at {WHERE}.sweep (config)'),
    ({"training..beta": [1]}, f'expected a setting such as training.beta or prune.0.fraction, got "training..beta" at {WHERE} (config)'),
    ({3: [1]}, f"expected a name that is text, got 3; put it in quotes at {WHERE} (config)"),
    ({"training": ["trades"]}, f"expected training to be a mapping, got 'trades' at {WHERE}.training (config)"),
    ({"architecture.width": [8]}, f"expected a mapping that may hold width, got mlp at {WHERE}.architecture.width; write one in the run (config)"),
    ({"prune.0.fraction": [0.1]}, f"expected a list with an entry 0, the first being 0, got None at {WHERE}.prune.0.fraction (config)"),
    (
        {"training.beta": [1], "training.beta.x": [2]},
        f"expected settings that are apart, got training.beta and training.beta.x at {WHERE}; leave one out (config)",
    ),
    (
        {"training.beta": [*range(1, 50)], "training.epochs": [*range(1, 50)]},
        f"expected at most 1000 runs, got 2401 at {WHERE} (config)",
    ),
    (
        {"architecture": ["timm:a", "timm-a"]},
        f'expected values that give each run a name of its own, got "tuned-architecture-timm-a" twice at {WHERE} (config)',
    ),
    (
        {"pool": ["a" * 90]},
        f'expected names of at most 100 characters, got "tuned-pool-{"a" * 90}" of 101 at {WHERE}; '
        "shorten the name of the run, or sweep fewer settings (config)",
    ),
    ({"pool": ["real", "rael"]}, f'expected the name of a pool, got "rael"; did you mean "real"? at {WHERE}.pool (config)'),
    (
        {"training.devices": [1, 2000]},
        f"expected devices of at most the batch_size 512, a row each, got 2000 at {WHERE}.training.devices; lower it (config)",
    ),
    (
        {"training.method": ["trades", "natural"], "training.beta": [1]},
        "expected beta only with method trades, got method natural at runs.tuned-beta-1-method-natural.training (config); "
        f"tuned-beta-1-method-natural is a run of the sweep at {WHERE}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("sweep", "expected"), REFUSED)
def test_mistake_in_a_sweep_is_one_sentence_with_its_place(swept: dict[str, Any], sweep: Any, expected: str) -> None:
    swept["runs"]["tuned"]["sweep"] = sweep
    with pytest.raises(ConfigError) as error:
        read(swept)
    assert str(error.value).endswith(expected)


def test_place_is_told_of_the_run_that_was_meant_where_one_name_begins_another(swept: dict[str, Any]) -> None:
    swept["runs"]["tuned"]["sweep"] = {"training.devices": [1, 10, 1000]}
    swept["defaults"]["training"]["batch_size"] = 5
    with pytest.raises(ConfigError, match=rf"got 10 at {WHERE}\.training\.devices; lower it \(config\)$"):
        read(swept)


def test_run_of_a_sweep_may_not_have_the_name_of_another_run(swept: dict[str, Any]) -> None:
    swept["runs"]["tuned-beta-5"] = {}
    with pytest.raises(
        ConfigError, match=rf'expected another name than "tuned-beta-5", which another run has, at {WHERE}'
    ):
        read(swept)


def test_two_sweeps_may_not_make_one_name(swept: dict[str, Any]) -> None:
    swept["runs"]["tuned-beta-1"] = {"sweep": {"repetition": [0, 1]}}
    swept["runs"]["tuned"]["sweep"] = {"training.beta": [1], "repetition": [1]}
    with pytest.raises(
        ConfigError, match='expected another name than "tuned-beta-1-repetition-1", which another run has'
    ):
        read(swept)


@pytest.mark.parametrize(("place", "told"), [("defaults|sweep", "defaults.sweep"), ("sweep", "the top")])
def test_sweep_of_all_runs_at_once_is_refused(study: dict[str, Any], put: Put, place: str, told: str) -> None:
    with pytest.raises(ConfigError, match=rf"expected sweep under a run.*got it at {told}"):
        read(put(study, place, BETAS))


@pytest.mark.parametrize("runs", [None, [], {"tuned": "x"}, {5: {"sweep": BETAS}}])
def test_runs_that_are_none_are_refused_as_without_sweeps(swept: dict[str, Any], runs: Any) -> None:
    swept["runs"] = runs
    with pytest.raises(ConfigError, match=r"^expected .* at runs"):
        read(swept)


def test_part_of_a_study_holds_the_runs_of_a_sweep_that_it_needs(swept: dict[str, Any]) -> None:
    swept["reports"]["small"] = {"kind": "comparison", "baseline": "tuned-beta-1", "runs": ["tuned-beta-1"]}
    part = part_of(swept, ["small"])
    assert list(part["runs"]) == ["tuned-beta-1"]
    assert list(parse_study(part).runs) == ["tuned-beta-1"]


@pytest.mark.parametrize(
    ("sweep", "is_right"),
    [
        (BETAS, True),
        ({"prune[0].fraction": [0.1, "1/4", None, True]}, True),
        ({"training.beta": []}, False),
        ({"training.beta": 5}, False),
        ({"training.beta": [[1]]}, False),
        ({"training beta": [1]}, False),
        ({}, False),
    ],
)
def test_schema_knows_sweeps(swept: dict[str, Any], sweep: Any, is_right: bool) -> None:
    swept["runs"]["tuned"]["sweep"] = sweep
    swept["reports"]["trade-off"]["frontiers"] = {"beta": ["tuned"]}
    assert jsonschema.Draft202012Validator(json_schema()).is_valid(swept) == is_right


def test_check_lists_the_runs_of_a_sweep(
    swept: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(swept, sort_keys=False), encoding="utf-8")
    assert main(["check", "study.yaml"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("study.yaml: 5 runs, 2 seeds, no problem found\n")
    assert "  sweep tuned of training.beta: 2 runs, tuned-beta-1, tuned-beta-5\n" in out
    assert "10 trainings" in out
    assert main(["check", "study.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sweeps"] == {"tuned": ["tuned-beta-1", "tuned-beta-5"]}
