# ruff: noqa: E501 (messages stand whole)
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from document_blocks import ROOT, blocks_of
from PIL import Image

from pumalib.data.settings import GeneratedSyntheticSettings
from pumalib.errors import ConfigError
from pumalib.planning.jobs import jobs_of
from pumalib.reporting.settings.cost import CostSettings, _generation_parts
from pumalib.study.check_pools import check_learned_pools
from pumalib.study.file import load_merged_study
from pumalib.study.part import part_of
from pumalib.study.slices import synthetic_code
from pumalib.study.study import Study, parse_study
from pumalib.synthesis.passes import sampling_passes

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


@pytest.fixture
def guided(knowing: dict[str, Any]) -> dict[str, Any]:
    """Return a study with a pool that a model guides, of a generator without margins, and runs of another dataset."""
    guidance = {"method": "margin", "model": "real-trades", "weight": 0.5}
    synthetic = {"method": "generator", "generator": "edm", "count": 50, "guidance": guidance}
    knowing["pools"] |= {"guided": {"dataset": "digits", "synthetic": synthetic}, "fashion": {"dataset": "fashion"}}
    knowing["runs"] |= {"on-guided": {"pool": "guided"}, "other": {"pool": "fashion"}}
    knowing["reports"] = {}
    return knowing


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


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("pools|guided|synthetic|guidance|model", "real-trade",
         'expected the name of a run, got "real-trade"; did you mean "real-trades"? at pools.guided.synthetic.guidance.model'),
        ("pools|guided|synthetic|guidance|model", "other",
         "expected a run on dataset digits, as the pool is, got other, trained on fashion, at pools.guided.synthetic.guidance.model"),
        ("pools|guided|synthetic|guidance|model", "on-guided",
         "expected runs, scores, pools and generators without a cycle, got "),
        ("runs|real-trades|start_from", "on-guided", "without a cycle, got "),
        ("pools|guided|synthetic|guidance|method", "entropi",
         """expected method margin or entropy, got 'entropi'; did you mean "entropy"? at pools.guided.synthetic.guidance.method"""),
        ("pools|guided|synthetic|guidance|weight", -1,
         "expected weight to be greater than or equal to 0, got -1 at pools.guided.synthetic.guidance.weight"),
        ("pools|guided|synthetic|guidance", {"method": "margin"}, "model"),
        ("pools|guided|synthetic|method", "held_out", "expected a known key, got "),
    ],
)  # fmt: skip
def test_mistakes_about_guidance_are_found_before_any_job(
    guided: dict[str, Any], put: Put, path: str, value: Any, message: str
) -> None:
    load_merged_study(guided, [])
    with pytest.raises(ConfigError) as error:
        load_merged_study(put(guided, path, value), [])
    assert message in str(error.value)
    assert str(error.value).startswith("expected")
    assert "\n" not in str(error.value)


def test_run_stands_on_the_model_that_guided_its_pool(guided: dict[str, Any]) -> None:
    study = read(guided)
    assert study.behind_run("on-guided", 1) == ([("real-trades", 1)], [])
    jobs = jobs_of(study)
    needs = ("datasets/digits/seed1", "generators/edm/seed1", "models/real-trades/seed1")
    assert jobs["synthetic/guided/seed1"].needs == needs
    assert jobs["synthetic/digits+100/seed1"].needs == needs[:2]


def test_model_trained_elsewhere_may_guide(guided: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "theirs.safetensors").touch()
    guided["runs"]["theirs"] = {"checkpoint": str(tmp_path / "theirs.safetensors"), "pool": "real"}
    guided["pools"]["guided"]["synthetic"]["guidance"]["model"] = "theirs"
    study = parse_study(guided)
    check_learned_pools(study)
    assert study.behind_run("on-guided", 0) == ([("theirs", 0)], [])


def test_sets_that_no_model_guides_depend_on_no_code_of_guidance(guided: dict[str, Any]) -> None:
    study = read(guided)
    assert synthetic_code(study, "near") == ("pumalib.synthesis.methods.generator",)
    assert synthetic_code(study, "guided") == (
        "pumalib.synthesis.methods.generator",
        "pumalib.synthesis.guided",
        "pumalib.synthesis.guidance.margin",
        "pumalib.models.mlp",
    )


def test_part_of_a_study_keeps_the_models_that_guide(guided: dict[str, Any]) -> None:
    guided["reports"] = {"one": {"kind": "comparison", "runs": ["on-guided", "real-trades"], "baseline": "real-trades"}}
    guided["defaults"]["pool"] = "real"
    part = part_of(guided, ["one"])
    assert set(part["runs"]) == {"on-guided", "real-trades"}
    guided["defaults"]["pool"] = "guided"
    guided["reports"]["one"] = {"kind": "comparison", "runs": ["on-near", "real-trades"], "baseline": "real-trades"}
    assert set(part_of(guided, ["one"])["runs"]) == {"on-near", "real-trades"}


def test_cost_of_a_run_holds_the_model_that_guided_its_pool(guided: dict[str, Any]) -> None:
    guided["reports"]["cost"] = {"kind": "cost", "runs": ["on-guided"]}
    assert "selections/real-trades/seed0" in jobs_of(read(guided))["reports/cost"].needs


def test_cost_with_generation_counts_each_generator_once_and_the_samples_of_each_pool(guided: dict[str, Any]) -> None:
    guided["scores"]["far"] = {"method": "deepfool", "model": "plain", "pool": "guided"}
    guided["runs"]["plain"] = {"pool": "digits+100"}
    guided["runs"]["on-guided"]["epsilon"] = {"policy": "margin", "score": "far"}
    study = read(guided)
    parts = [part for part in _generation_parts(study, "on-guided", 1) if part.seed == 1]
    settings = study.settings.generators["edm"].model_dump()
    sets = {name: pool.synthetic.model_dump() for name, pool in study.settings.pools.items() if pool.synthetic}
    assert [(part.name, part.settings, part.synthetic) for part in parts] == [
        ("edm", settings, None),
        ("guided", settings, sets["guided"]),
        ("digits+100", settings, sets["digits+100"]),
    ]
    assert not list(_generation_parts(study, "real-trades", 1))


def test_rows_from_a_file_are_of_unknown_cost(guided: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "zero").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "zero" / "0.png")
    guided["pools"]["guided"]["synthetic"] = {"method": "folder", "path": str(tmp_path)}
    (part,) = _generation_parts(read(guided), "on-guided", 0)
    assert (part.kind, part.name, part.settings) == ("generation", "guided", None)


def test_passes_of_a_sample_count_both_denoisers_and_the_way_back(knowing: dict[str, Any]) -> None:
    asked, guide = {"margin": {"below": 0.1, "weight": 2}}, {"guidance": {"method": "entropy", "model": "m"}}
    alone = {"margin": {"below": 0.1}}
    settings = read(knowing).settings.generators["knowing"]
    settings = settings.model_copy(update={"sampling_steps": 12, "sampling_batch_size": 4})
    passes = [
        sampling_passes(settings, GeneratedSyntheticSettings.model_validate({"generator": "g", "count": 5, **keys}))
        for keys in ({}, alone, asked, guide, {**asked, **guide})
    ]
    estimates = 8 * 23  # two batches of 4; 2 * 12 - 1 estimates of each sample
    each = [(1, 0), (1, 0), (2, 0), (2, 2), (3, 3)]
    assert passes == [(estimates * forward, estimates * backward) for forward, backward in each]


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
    assert "guidance" not in settings.pools["digits+100"].model_dump()["synthetic"]
    assert set(settings.pools["digits+100"].synthetic.model_dump()) == {"method", "generator", "count", "label_noise"}  # type: ignore[union-attr]


def test_example_on_the_page_passes_the_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, more, came = [
        yaml.safe_load(block.text) for block in blocks_of(ROOT / "docs/synthetic.md") if block.language == "yaml"
    ]
    assert read(first).scores_behind_pool("near") == ["real-margin"]
    more["runs"] = {"guided": {"pool": "guided"}}
    both = {**first, **{group: {**first[group], **more[group]} for group in more}}
    assert read(both).models_behind_pool("guided") == ["real"]
    all_three = {**both, **{group: {**both[group], **came[group]} for group in came}}
    assert set(jobs_of(read(all_three))["reports/came"].needs) > {"scores/real-margin/seed2", "scores/second-any/seed0"}


def read(raw: dict[str, Any]) -> Study:
    study = load_merged_study(raw, [])
    assert isinstance(study, Study)
    return study
