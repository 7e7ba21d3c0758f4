"""Checkpoints among the runs of a study: what is refused before any job, and what a study makes of the others."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pumalib.errors import ConfigError
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings
from pumalib.study.check_checkpoints import check_checkpoints
from pumalib.study.file import load_merged_study
from pumalib.study.plan import plan_of
from pumalib.study.slices import settings_used
from pumalib.study.study import Study
from pumalib.study.words import describe_study

MLP = {"name": "mlp", "width": 16}
NORMALISED = {**MLP, "mean": [0.3], "std": [0.4]}


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the settings of a checkpoint that fits the digits."""
    monkeypatch.chdir(tmp_path)
    save(build_model(ArchitectureSettings(**MLP), (8, 8, 1), 10, 1))
    return {"checkpoint": "model.pt", "architecture": MLP}


def save(model: nn.Module) -> None:
    torch.save({"state_dict": model.state_dict()}, "model.pt")


def read(study: dict[str, Any], theirs: dict[str, Any], **others: Any) -> Study:
    study["runs"]["theirs"] = theirs
    for key, value in others.items():
        study[key] |= value
    checked = load_merged_study(study, [])
    assert isinstance(checked, Study)
    return checked


def test_a_checkpoint_takes_pool_and_architecture_from_the_defaults_and_depends_on_nothing(
    study: dict[str, Any], theirs: dict[str, Any]
) -> None:
    study["defaults"]["architecture"] = MLP
    checked = read(study, {"checkpoint": "model.pt"})
    check_checkpoints(checked)
    imported = checked.imported["theirs"]
    assert (imported.pool, imported.architecture.width) == ("digits+100", 16)
    assert "theirs" not in checked.trained
    assert checked.behind_run("theirs", 0) == ([], [])
    assert checked.attacks_of("theirs") == ["cw"]
    assert settings_used(checked)["runs"]["theirs"].keys() == {"checkpoint", "architecture", "pool"}
    assert "4 runs, 1 of them imported" in describe_study(checked)


def test_the_plan_counts_an_import_a_seed_and_no_training(study: dict[str, Any], theirs: dict[str, Any]) -> None:
    jobs = plan_of(read(study, theirs)).jobs
    assert (jobs["trainings"], jobs["imported models"], jobs["attacks"]) == (6, 2, 8)


def test_a_study_may_train_nothing(study: dict[str, Any], theirs: dict[str, Any]) -> None:
    study["runs"], study["scores"] = {}, {"margin": {"method": "deepfool", "model": "theirs"}}
    study["reports"] = {"table": {"kind": "comparison", "baseline": "theirs"}}
    checked = read(study, theirs)
    assert checked.trained == {}
    assert checked.runs_behind("margin", 1) == [("theirs", 1)]
    study["reports"] = {"cost": {"kind": "cost"}}
    with pytest.raises(ConfigError, match=r"expected a run that this study trains, got none at reports.cost"):
        read(study, theirs)


def test_scores_pools_and_trainings_may_use_a_checkpoint_as_they_use_a_run(
    study: dict[str, Any], theirs: dict[str, Any]
) -> None:
    learned = {"method": "robust_features", "pool": "real", "model": "theirs", "steps": 1}
    checked = read(
        study,
        theirs,
        pools={"robustified": {"learned": learned}},
        scores={"fast": {"method": "fast_margin", "model": "theirs"}},
        runs={
            "tuned": {"architecture": MLP, "start_from": "theirs"},
            "on-learned": {"pool": "robustified"},
            "puma": {"epsilon": {"policy": "margin", "score": "fast"}},
        },
    )
    for run in ("tuned", "on-learned", "puma"):
        assert checked.behind_run(run, 1)[0] == [("theirs", 1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoint": "absent.pt"}, r"expected a file, found none at absent.pt, named at runs.theirs.checkpoint"),
        (
            {"training": {"epochs": 1}, "prune": []},
            "expected a run with a checkpoint to have checkpoint, architecture, weights, pool alone, because it is "
            "never trained, got training, prune at runs.theirs; leave it out",
        ),
        ({"start_from": "trades"}, "got start_from at runs.theirs"),
        ({"repetition": 1}, "got repetition at runs.theirs"),
        ({"architecture": "resnet-81"}, r'got "resnet-81".* at runs.theirs.architecture.name'),
        ({"architecture": {**MLP, "mean": [0.1] * 3, "std": [1] * 3}}, "at runs.theirs.architecture"),
        ({"pool": "absent"}, r'expected the name of a pool, got "absent".* at runs.theirs.pool'),
        ({"checkpoint": None, "weights": "averaged"}, "expected weights only with checkpoint at runs.theirs.weights"),
    ],
)
def test_settings_that_a_checkpoint_cannot_have_are_refused(
    study: dict[str, Any], theirs: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        read(study, {**theirs, **change})


@pytest.mark.parametrize("key", ["pool", "architecture"])
def test_pool_and_architecture_are_needed(study: dict[str, Any], theirs: dict[str, Any], key: str) -> None:
    study["runs"] = {name: {"pool": "real", "architecture": "mlp"} for name in study["runs"]}
    study["scores"]["margin"]["pool"] = "real"
    del study["defaults"][key]
    with pytest.raises(ConfigError, match=f"expected a value for {key}, got none at runs.theirs.{key}"):
        read(study, {name: value for name, value in theirs.items() if name != key})


@pytest.mark.parametrize("key", ["checkpoint", "weights"])
def test_defaults_have_no_checkpoint(study: dict[str, Any], theirs: dict[str, Any], key: str) -> None:
    study["defaults"][key] = "model"
    with pytest.raises(ConfigError, match=f"expected {key} under a run of its own, got it at defaults.{key}"):
        read(study, theirs)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"reports": {"r": {"kind": "training_curves", "runs": ["theirs"]}}}, r"at reports.r.runs\[0\]"),
        ({"reports": {"r": {"kind": "cost", "baseline": "theirs"}}}, r"at reports.r.baseline"),
        ({"reports": {"r": {"kind": "epsilon_distribution", "runs": ["theirs"]}}}, r"at reports.r.runs\[0\]"),
        ({"reports": {"r": {"kind": "pruned_rows", "run": "theirs"}}}, "at reports.r.run"),
        ({"reports": {"r": {"kind": "margin_histogram", "score": "margin", "run": "theirs"}}}, "at reports.r.run"),
        (
            {"reports": {"r": {"kind": "ratio_curves", "attack": "cw", "lines": {"a": ["trades", "theirs"]}}}},
            r"at reports.r.lines.a\[1\]",
        ),
        ({"reports": {"r": {"kind": "kept_epochs", "attack": "cw", "runs": ["theirs"]}}}, r"at reports.r.runs\[0\]"),
        ({"scores": {"s": {"method": "forgetting", "tracked": "theirs"}}}, "at scores.s.tracked"),
    ],
)
def test_what_needs_a_training_refuses_a_checkpoint_by_name(
    study: dict[str, Any], theirs: dict[str, Any], others: dict[str, Any], message: str
) -> None:
    with pytest.raises(
        ConfigError, match=f"expected a run that this study trains, got theirs, a checkpoint, {message}"
    ):
        read(study, theirs, **others)


def test_a_gate_refuses_a_checkpoint_by_name(study: dict[str, Any], theirs: dict[str, Any]) -> None:
    study["gate"] = {"run": "trades", "weaker": ["theirs"], "attack": "cw"}
    with pytest.raises(ConfigError, match=r"got theirs, a checkpoint, at gate.weaker\[0\]"):
        read(study, theirs)


def test_a_score_names_no_seed_of_a_checkpoint(study: dict[str, Any], theirs: dict[str, Any]) -> None:
    score = {"method": "deepfool", "model": {"run": "theirs", "seed": 0}}
    with pytest.raises(ConfigError, match=r"expected no seed with theirs, .* got 0 at scores.s.model.seed"):
        read(study, theirs, scores={"s": score})


@pytest.mark.parametrize(
    ("model", "architecture", "message"),
    [
        (((8, 8, 1), 7), MLP, r"expected a network of 10 classes, as the images have, got one of 7 in model.pt"),
        (((8, 9, 1), 10), MLP, "expected the tensors of mlp in model.pt, got others"),
        (((8, 8, 1), 10), {"name": "mlp", "width": 8}, "expected the tensors of mlp in model.pt, got others"),
    ],
)
def test_a_file_of_another_network_is_refused(
    study: dict[str, Any],
    theirs: dict[str, Any],
    model: tuple[tuple[int, int, int], int],
    architecture: dict[str, Any],
    message: str,
) -> None:
    save(build_model(ArchitectureSettings(**MLP), *model, 1))
    with pytest.raises(ConfigError, match=f"{message}.*, named at runs.theirs"):
        check_checkpoints(read(study, {**theirs, "architecture": architecture}))


def test_a_file_of_an_unknown_layout_is_refused(study: dict[str, Any], theirs: dict[str, Any]) -> None:
    save(nn.ModuleDict({"encoder": nn.Linear(64, 16), "head": nn.Linear(16, 10)}))
    with pytest.raises(
        ConfigError, match=r"expected the tensors of mlp in model.pt, got others .*named at runs.theirs"
    ):
        check_checkpoints(read(study, theirs))


def test_constants_of_a_file_must_stand_in_the_architecture(study: dict[str, Any], theirs: dict[str, Any]) -> None:
    save(build_model(ArchitectureSettings(**NORMALISED), (8, 8, 1), 10, 1))
    told = r"write mean: \[0.3\] and std: \[0.4\] under architecture, named at runs.theirs"
    with pytest.raises(ConfigError, match=told):
        check_checkpoints(read(study, theirs))
    check_checkpoints(read(study, {**theirs, "architecture": NORMALISED}))
