# ruff: noqa: E501 (messages stand whole)
"""Reports of generated rows refuse a model that had a part in making them, before any job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pumalib.errors import ConfigError
from pumalib.planning.jobs import jobs_of
from pumalib.reporting.settings.generated_rows import GeneratedRowsSettings
from pumalib.study.file import load_merged_study
from pumalib.study.part import part_of
from pumalib.study.study import Study, parse_study

Put = Callable[..., dict[str, Any]]


def margin_of(model: Any, pool: str, **keys: Any) -> dict[str, Any]:
    return {"method": "fast_margin", "model": model, "pool": pool, **keys}


def generated(generator: str, **keys: Any) -> dict[str, Any]:
    return {"dataset": "digits", "synthetic": {"method": "generator", "generator": generator, "count": 50, **keys}}


@pytest.fixture
def measured(study: dict[str, Any]) -> dict[str, Any]:
    """Return a study that measures a conditioned, a guided and a plain set by a run that made none of them."""
    study["generators"]["knowing"] = {**study["generators"]["edm"], "margin": {"score": "learned"}}
    study["pools"] |= {
        "near": generated("knowing", margin={"above": 0, "below": 0.1}),
        "guided": generated("edm", guidance={"method": "margin", "model": "guide", "weight": 0.5}),
        "any": generated("knowing"),
        "fashion": {"dataset": "fashion"},
        "same": {"dataset": "digits"},
    }
    study["runs"] |= {
        "conditioning": {"pool": "real"},
        "guide": {"pool": "real", "repetition": 1},
        "second": {"pool": "real", "repetition": 2},
        "third": {"pool": "real", "architecture": {"name": "mlp", "width": 32}},
        "twin": {"pool": "same", "track": {"loss": {}}},
        "began": {"pool": "real", "repetition": 3, "start_from": "conditioning"},
        "pruned-by-it": {"pool": "real", "prune": [{"by": "learned", "drop": "easiest", "fraction": 0.1}]},
        "on-near": {"pool": "near"},
        "after-near": {"pool": "real", "start_from": "on-near"},
        "other": {"pool": "fashion"},
    }
    study["scores"] |= {
        "learned": margin_of("conditioning", "real"),
        "of-near": margin_of("second", "near"),
        "of-guided": margin_of("second", "guided"),
        "of-any": margin_of("second", "any"),
        "labels-near": margin_of("third", "near"),
        "labels-any": margin_of("third", "any"),
    }
    study["reports"] = {
        "came": {"kind": "generated_rows", "scores": ["of-near", "of-guided", "of-any"], "plain": "of-any"}
    }
    return study


ALONE = ["of-near"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("scores|of-near|model", "conditioning",
         "expected a model that neither conditioned nor guided the samples of pool near, got conditioning, which had a part in them, at reports.came.scores[0]; train another run on the real rows, of another architecture or repetition"),
        ("scores|of-guided|model", "guide", "samples of pool guided, got guide, which had a part in them, at reports.came.scores[1]"),
        ("scores|of-near|model", "twin", "got twin, which is the same training as conditioning, at reports.came.scores[0]"),
        ("scores|of-near|model", "began", "got began, which depends on conditioning, at reports.came.scores[0]"),
        ("scores|of-near|model", "pruned-by-it", "got pruned-by-it, which depends on conditioning, at"),
        ("runs|conditioning|start_from", "second", "got second, which had a part in them, at reports.came.scores[0]"),
        ("scores|of-near|model", "on-near",
         "expected a model of real rows alone, got on-near, trained on pool near, at reports.came.scores[0]; train a run on a pool without synthetic and learned rows"),
        ("scores|of-near|model", "trades", "expected a model of real rows alone, got trades, trained on pool digits+100, at"),
        ("scores|of-near|model", "after-near", "got after-near, which depends on on-near, trained on pool near, at"),
        ("scores|of-near|model", {"checkpoint": "their.safetensors"}, "with another model, at reports.came.scores[1]"),
        ("scores|of-near|up_to", 0.3, "expected a score that is measured to its end, got of-near"),
        ("scores|of-near|pool", "real",
         "expected a score of a pool with synthetic rows, got of-near, of pool real, at reports.came.scores[0]; score such a pool"),
        ("scores|of-guided|max_iterations", 7,
         "expected margins measured as those of of-near are, got of-guided, with another max_iterations, at reports.came.scores[1]; give both scores the same settings but pool"),
        ("scores|of-any|pool", "guided", "expected each pool once, got guided twice at reports.came.scores[2]"),
        ("reports|came|scores", ["of-neer", "of-any"], 'a score, got "of-neer"; did you mean "of-near"? at reports.came.scores[0]'),
        ("reports|came|plain", "of-near", "expected a set that was asked for nothing, got of-near, of pool near, which has margin, at reports.came.plain"),
        ("reports|came|plain", "of-guided", "got of-guided, of pool guided, which has guidance, at reports.came.plain"),
        ("reports|came|plain", "learned", "expected plain among scores, got learned"),
        ("reports|came|labels_by", ["labels-near"], "expected 3 labels_by, one for each score, got 1"),
        ("reports|came|labels_by", ["labels-near", "labels-any", "of-any"],
         "expected a score of pool guided, as of-guided is, got labels-any, a score of pool any, at reports.came.labels_by[1]"),
        ("reports|came|count", 1, "expected count to be greater than or equal to 2, got 1 at reports.came.count"),
    ],
)  # fmt: skip
def test_models_that_had_a_part_and_sets_that_do_not_fit_are_refused(
    measured: dict[str, Any],
    put: Put,
    path: str,
    value: Any,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("their.safetensors").touch()
    load_merged_study(measured, [])
    with pytest.raises(ConfigError) as error:
        load_merged_study(put(measured, path, value), [])
    assert message in str(error.value)
    assert str(error.value).startswith("expected")
    assert "\n" not in str(error.value)


def test_checkpoint_that_conditioned_is_refused_and_another_is_not(
    measured: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("theirs", "another"):
        Path(f"{name}.safetensors").touch()
    measured["reports"]["came"] = {"kind": "generated_rows", "scores": ["of-near"]}
    measured["scores"]["learned"]["model"] = {"checkpoint": "theirs.safetensors"}
    measured["scores"]["of-near"]["model"] = {"checkpoint": "another.safetensors"}
    load_merged_study(measured, [])
    measured["runs"]["theirs"] = {"checkpoint": "theirs.safetensors", "pool": "real"}
    for model in ({"checkpoint": "theirs.safetensors"}, "theirs"):
        measured["scores"]["of-near"]["model"] = model
        with pytest.raises(ConfigError, match=r"got theirs\.safetensors, which did, at reports\.came\.scores\[0\]"):
            load_merged_study(measured, [])


@pytest.mark.parametrize(
    ("model", "pool", "message"),
    [
        ("other", "near", "expected a model of dataset digits, as pool near is, got other, trained on fashion, at"),
        (
            "other",
            "clothes",
            "expected pools of one dataset, got clothes on fashion and any on digits, at reports.came",
        ),
    ],
)
def test_models_and_sets_of_another_dataset_are_refused(
    measured: dict[str, Any], model: str, pool: str, message: str
) -> None:
    measured["pools"]["clothes"] = {"dataset": "fashion", "synthetic": {"method": "npz", "path": "clothes.npz"}}
    measured["scores"]["of-near"] |= {"model": model, "pool": pool}
    measured["reports"]["came"] = {"kind": "generated_rows", "scores": ["of-any", "of-near"]}
    study = parse_study(measured)
    report = study.settings.reports["came"]
    assert isinstance(report, GeneratedRowsSettings)
    with pytest.raises(ConfigError) as error:
        report.check(study, "reports.came")
    assert message in str(error.value)


def test_report_waits_for_pools_scores_and_what_the_generator_learned(measured: dict[str, Any]) -> None:
    measured["reports"]["came"] |= {"scores": ["of-near", "of-any"], "labels_by": ["labels-near", "labels-any"]}
    study = load_merged_study(measured, [])
    assert isinstance(study, Study)
    assert isinstance(study.settings.reports["came"], GeneratedRowsSettings)
    needed = set(jobs_of(study)["reports/came"].needs)
    assert {"scores/of-near/seed1", "scores/labels-any/seed0", "scores/learned/seed1", "pools/any/seed0"} <= needed
    assert "scores/of-guided/seed0" not in needed


def test_part_of_a_study_keeps_what_measured_the_rows(measured: dict[str, Any]) -> None:
    measured["defaults"]["pool"] = "real"
    part = part_of(measured, ["came"])
    assert {"second", "conditioning", "guide"} <= set(part["runs"])
    assert "on-near" not in part["runs"]
    assert set(part["scores"]) == {"of-near", "of-guided", "of-any", "learned"}
    load_merged_study(part, [])
