# ruff: noqa: E501 (messages stand whole)
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from document_blocks import ROOT, blocks_of

from pumalib.errors import ConfigError
from pumalib.planning.jobs import jobs_of
from pumalib.reporting.settings.cost import CostSettings
from pumalib.study.file import load_merged_study
from pumalib.study.part import part_of
from pumalib.study.study import Study

Put = Callable[..., dict[str, Any]]
GENERATED = {"method": "generator", "generator": "knowing", "count": 50}


@pytest.fixture
def knowing(study: dict[str, Any]) -> dict[str, Any]:
    """Return a study with a generator that learns margins, and a pool that asks it for small ones."""
    study["generators"]["knowing"] = {**study["generators"]["edm"], "margin": {"score": "real-margin"}}
    study["scores"]["real-margin"] = {"method": "deepfool", "model": "real-trades", "pool": "real"}
    study["scores"]["loss"] = {"method": "mean_loss", "tracked": "real-trades"}
    study["scores"]["near"] = {**study["scores"]["real-margin"], "up_to": 0.3}
    study["pools"]["near"] = {"dataset": "digits", "synthetic": {**GENERATED, "margin": {"below": "8/255"}}}
    study["runs"]["real-trades"] = {"pool": "real", "track": {"loss": {}}}
    study["runs"]["on-near"] = {"pool": "near"}
    return study


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("generators|knowing|margin|score", "real-margins",
         'expected the name of a score, got "real-margins"; did you mean "real-margin"? at generators.knowing.margin.score'),
        ("generators|knowing|margin|score", "loss",
         "expected a margin, got loss, a score by mean_loss, at generators.knowing.margin.score"),
        ("generators|knowing|margin|score", "near",
         "expected a margin without up_to, so that all can be put in order, got near, which stops at 0.3, at generators.knowing.margin.score; leave up_to out at scores.near"),
        ("generators|knowing|margin|score", "margin",
         "expected a margin of a pool of dataset digits without synthetic rows, whose rows are those that the generator is trained on, got margin, of pool digits+100, at generators.knowing.margin.score; score such a pool"),
        ("scores|real-margin|pool", "learned", "got real-margin, of pool learned, at generators.knowing.margin.score"),
        ("scores|real-margin|pool", "fashion", "got real-margin, of pool fashion, at generators.knowing.margin.score"),
        ("generators|knowing|margin|drop", 1.5, "expected drop to be less than or equal to 1, got 1.5 at generators.knowing.margin.drop"),
        ("generators|knowing|margin|share", 0.5, 'expected a known key, got "share"'),
        ("generators|knowing|margin", None,
         "expected a generator that learns margins, got knowing, which learns none, at pools.near.synthetic.margin; set margin at generators.knowing, or leave it out here"),
        ("pools|near|synthetic|generator", "edm",
         "expected a generator that learns margins, got edm, which learns none, at pools.near.synthetic.margin"),
        ("pools|near|synthetic|margin|above", 0.1,
         "expected above to be less than below (0.0313725), got 0.1 at pools.near.synthetic.margin"),
        ("pools|near|synthetic|margin|weight", -1, "expected weight to be greater than or equal to 0, got -1 at pools.near.synthetic.margin.weight"),
        ("scores|real-margin|model", "on-near",
         "expected runs, scores, pools and generators without a cycle, got "),
        ("runs|real-trades|start_from", "on-near", "without a cycle, got "),
    ],
)  # fmt: skip
def test_mistakes_about_margins_of_generators_are_found_before_any_job(
    knowing: dict[str, Any], put: Put, path: str, value: Any, message: str
) -> None:
    knowing["pools"]["fashion"] = {"dataset": "fashion"}
    learned = {"pool": "real", "method": "tri_level", "architectures": [{"name": "mlp", "width": 8}]}
    knowing["pools"]["learned"] = {"learned": learned}
    load_merged_study(knowing, [])
    with pytest.raises(ConfigError) as error:
        load_merged_study(put(knowing, path, value), [])
    assert message in str(error.value)
    assert str(error.value).startswith("expected")
    assert "\n" not in str(error.value)


def test_cycle_through_a_generator_is_spelled_out(knowing: dict[str, Any]) -> None:
    knowing["scores"]["real-margin"]["model"] = "on-near"
    with pytest.raises(ConfigError) as error:
        load_merged_study(knowing, [])
    steps = str(error.value).partition("got ")[2].partition(";")[0].split(" -> ")
    assert steps[0] == steps[-1]
    assert set(steps) == {"runs.on-near", "pools.near", "generators.knowing", "scores.real-margin"}


def test_run_stands_on_the_margins_that_its_generator_learned(knowing: dict[str, Any]) -> None:
    study = read(knowing)
    assert study.behind_run("on-near", 1) == ([("real-trades", 1)], [("real-margin", 1)])
    assert study.behind_run("trades", 1) == ([], [])
    assert study.scores_behind_pool("near") == ["real-margin"]
    assert study.generators_behind_pool("digits+100") == ["edm"]


def test_jobs_wait_for_the_margins_that_a_generator_learns(knowing: dict[str, Any]) -> None:
    jobs = jobs_of(read(knowing))
    assert jobs["generators/knowing/seed1"].needs == ("datasets/digits/seed1", "scores/real-margin/seed1")
    assert jobs["generators/edm/seed1"].needs == ("datasets/digits/seed1",)


def test_part_of_a_study_keeps_what_its_generators_learn(knowing: dict[str, Any]) -> None:
    knowing["defaults"]["pool"] = "real"
    knowing["runs"] |= {"trades": {"pool": "digits+100"}}
    knowing["scores"]["margin"]["pool"] = "digits+100"
    knowing["runs"] = {name: knowing["runs"][name] for name in ("trades", "real-trades", "on-near")}
    knowing["reports"] = {"one": {"kind": "comparison", "runs": ["trades", "on-near"], "baseline": "trades"}}
    part = part_of(knowing, ["one"])
    assert set(part["runs"]) == {"trades", "on-near", "real-trades"}
    assert set(part["generators"]) == {"edm", "knowing"}
    assert set(part["scores"]) == {"real-margin"}
    load_merged_study(part, [])


def test_cost_of_a_run_holds_the_margins_behind_its_generator(knowing: dict[str, Any]) -> None:
    knowing["reports"]["cost"] = {"kind": "cost", "runs": ["on-near"]}
    study = read(knowing)
    report = study.settings.reports["cost"]
    assert isinstance(report, CostSettings)
    needed = jobs_of(study)["reports/cost"].needs
    assert {"selections/real-trades/seed0", "scores/real-margin/seed0"} <= set(needed)


def test_settings_of_before_have_no_new_key(study: dict[str, Any]) -> None:
    settings = read(study).settings
    assert "margin" not in settings.generators["edm"].model_dump()
    assert set(settings.pools["digits+100"].synthetic.model_dump()) == {"method", "generator", "count", "label_noise"}  # type: ignore[union-attr]


def test_example_on_the_page_passes_the_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    studies = [block for block in blocks_of(ROOT / "docs/synthetic.md") if block.language == "yaml" and block.path]
    assert studies
    for block in studies:
        assert load_merged_study(yaml.safe_load(block.text), []).settings.generators


def read(raw: dict[str, Any]) -> Study:
    study = load_merged_study(raw, [])
    assert isinstance(study, Study)
    return study
