"""Every kind of report is whole: settings, a module that makes it, a section; and it reads only what it waits for."""

import inspect
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

from pumalib.errors import ConfigError
from pumalib.files.provenance import code_fingerprint
from pumalib.reporting import kinds, settings
from pumalib.reporting.report_settings import OF_SEED
from pumalib.reporting.section_settings import SECTIONS
from pumalib.reporting.settings.cost import CostPart
from pumalib.reporting.study_view import StudyFiles
from pumalib.study.reports import KINDS, report_kinds
from pumalib.study.study import OWN_REPORTS, Study

ROOT = Path(__file__).parents[2]
EXAMPLES: dict[str, dict[str, Any]] = {
    "browse": {"run": "puma", "score": "fast", "attacks": ["cw"]},
    "class_groups": {"dataset": "grouped"},
    "comparison": {"baseline": "trades", "runs": ["puma"]},
    "cost": {"runs": ["puma"], "baseline": "trades", "seconds": True},
    "epsilon_distribution": {"runs": ["puma", "trades"]},
    "generated_rows": {"scores": ["second-near"], "labels_by": ["third"]},
    "gate": {"run": "trades", "weaker": ["weak"], "attack": "cw-validation", "score": "margin"},
    "kept_epochs": {"runs": ["keeping"], "baseline": "best", "attack": "cw"},
    "leaderboard": {
        "attack": "cw",
        "methods": {"random": [80], "cut": [80]},
        "panels": {"trades": {"runs": "{method}-keep{kept}", "metric": "robust_accuracy", "whole": "trades"}},
    },
    "margin_classes": {"score": "margin", "seed": 1},
    "margin_histogram": {"score": "margin", "beside": "fast", "run": "pruned"},
    "nearest_neighbours": {"pool": "digits+100"},
    "primary": {"run": "puma", "against": "trades", "metric": "robust_accuracy", "attack": "cw"},
    "pruned_rows": {"run": "pruned"},
    "ratio_curves": {"lines": {"all": ["puma", "pruned"]}, "attack": "cw"},
    "robustness_curves": {"runs": ["puma"], "baseline": "trades", "attack": "shortest"},
    "score_agreement": {"scores": ["margin", "fast"]},
    "cost_frontier": {"baseline": "trades", "attack": "cw", "runs": ["puma"]},
    "suspects": {"score": "margin"},
    "trade_off": {"baseline": "trades", "attack": "cw", "runs": ["puma"]},
    "training_curves": {"runs": ["puma"], "baseline": "trades"},
}


ONE_SEED = ("browse", "margin_classes", "margin_histogram", "nearest_neighbours", "pruned_rows", "suspects")


@pytest.fixture
def files() -> StudyFiles:
    """Return paths that say what they are of, each beginning with `at/`."""

    def of(what: str) -> Callable[..., str]:
        return lambda *names: "/".join(["at", what, *map(str, names)])

    def results(runs: Any) -> list[dict[str, Any]]:
        attacks = {name: f"at/attack/{name}" for name in ("cw", "cw-validation")}
        return [{"run": run, "selection": f"at/selection/{run}", "attacks": attacks} for run in runs]

    singles = ("dataset", "pool", "score", "selection", "history", "attack", "kept_attack")
    benchmarks = ("training_benchmark", "learning_benchmark", "attack_benchmark")
    return StudyFiles(
        **{name: of(name) for name in (*singles, *benchmarks)},
        pool_sources=lambda *names: [of("source")(*names)],
        score_benchmarks=lambda *names: [of("score_benchmark")(*names)],
        results=results,
    )


def paths_in(value: Any) -> Iterator[str]:
    """Yield every path inside lists and mappings."""
    if isinstance(value, str) and value.startswith("at/"):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from paths_in(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from paths_in(each)


def test_every_kind_has_an_example_here_and_every_module_is_of_a_kind() -> None:
    assert set(EXAMPLES) == set(report_kinds())
    modules = {each.name for each in iter_modules(kinds.__path__)}
    assert modules >= set(report_kinds())
    assert all(name.startswith(tuple(f"{kind}_" for kind in report_kinds())) for name in modules - set(report_kinds()))


@pytest.mark.parametrize("kind", EXAMPLES)
def test_what_a_report_needs_is_what_its_module_takes_and_its_rule_waits_for(
    kind: str, study: dict[str, Any], read: Callable[[dict[str, Any]], Study], files: StudyFiles
) -> None:
    is_own = kind in OWN_REPORTS  # a key of the study, and its report is made by itself
    if is_own:
        study[kind] = EXAMPLES[kind]
        study["runs"]["weak"] = {"epsilon": {"policy": "fixed", "epsilon": 0.1}}
        study["attacks"]["cw-validation"] = {"method": "cw_pgd", "split": "validation", "runs": ["trades", "weak"]}
    loaded = read({"kind": "cost"} if is_own else {"kind": kind, **EXAMPLES[kind]})
    report = loaded.settings.reports[kind if is_own else "r"]
    needs = report.needs(loaded, files)
    made, *arguments = inspect.signature(import_module(f"{KINDS}.{kind}").make, eval_str=True).parameters.values()
    assert made.annotation is type(report)
    assert {each.name for each in arguments} == set(needs.arguments) - {OF_SEED}
    assert set(paths_in(needs.arguments)) <= set(needs.inputs)
    assert needs.inputs


@pytest.mark.parametrize("kind", ONE_SEED)
def test_a_report_of_one_seed_says_which_and_reads_the_pool_and_what_it_stands_on(
    kind: str, read: Callable[[dict[str, Any]], Study], files: StudyFiles
) -> None:
    for seed, drawn in ((None, 0), (1, 1)):
        study = read({"kind": kind, **EXAMPLES[kind], "seed": seed})
        inputs, arguments = study.settings.reports["r"].needs(study, files)
        assert f"at/pool/digits+100/{drawn}" in inputs
        assert f"at/source/digits+100/{drawn}" in inputs
        assert all(str(drawn) in path.split("/") for path in inputs)
        assert arguments[OF_SEED] == drawn


def test_every_kind_with_a_seed_of_its_own_is_about_that_seed_alone() -> None:
    of_all = {"score_agreement"}  # whose numbers are of all seeds; its page says which one is drawn
    assert {kind for kind, model in report_kinds().items() if "seed" in model.model_fields} - of_all == set(ONE_SEED)


@pytest.mark.parametrize("kind", EXAMPLES)
def test_the_code_behind_a_report_holds_no_other_kind(kind: str) -> None:
    modules = code_fingerprint(ROOT / "workflow_scripts/report.py", f"{KINDS}.{kind}")
    of_kinds = {name.rpartition(".")[2] for name in modules if name.startswith(f"{KINDS}.")}
    assert kind in of_kinds
    assert all(name == kind or name.startswith(f"{kind}_") for name in of_kinds)


def parts_of(study: Study, files: StudyFiles) -> list[CostPart]:
    return [CostPart(**part) for part in study.settings.reports["r"].needs(study, files).arguments["parts"]]


def test_a_run_costs_its_training_and_all_that_it_stands_on(
    read: Callable[[dict[str, Any]], Study], files: StudyFiles
) -> None:
    parts = parts_of(read({"kind": "cost", "runs": ["puma"], "seconds": True}), files)
    assert [(part.seed, part.kind, part.name) for part in parts] == [
        (seed, kind, name)
        for seed in (0, 1)
        for kind, name in (
            ("training", "puma"),
            ("margin model", "trades"),
            ("score", "margin"),
            ("evaluation", "cw"),
            ("evaluation", "shortest"),
        )
    ]
    assert parts[1].benchmarks == ("at/training_benchmark/trades/0",)
    assert (parts[2].file, parts[2].pool) == ("at/score/margin/0", "at/pool/digits+100/0")
    assert parts[3].files == ["at/attack_benchmark/puma/0/cw"]


def test_without_seconds_a_cost_report_waits_for_no_benchmark(
    read: Callable[[dict[str, Any]], Study], files: StudyFiles
) -> None:
    study = read({"kind": "cost", "runs": ["puma"]})
    assert {part.kind for part in parts_of(study, files)} == {"training", "margin model", "score"}
    inputs = study.settings.reports["r"].needs(study, files).inputs
    assert not [path for path in inputs if "benchmark" in path]
    assert "at/source/digits+100/1" in inputs


def test_a_model_from_elsewhere_is_a_part_of_unknown_cost(
    study: dict[str, Any], read: Callable[[dict[str, Any]], Study], files: StudyFiles, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "their.safetensors"
    checkpoint.touch()
    study["scores"]["margin"] = {"method": "deepfool", "model": {"checkpoint": str(checkpoint)}}
    parts = parts_of(read({"kind": "cost", "runs": ["puma"]}), files)
    assert [(part.kind, part.name, part.settings is None) for part in parts if part.seed == 0] == [
        ("training", "puma", False),
        ("score", "margin", False),
        ("margin model", str(checkpoint), True),
    ]


def test_a_policy_at_work_during_training_and_what_was_gathered_for_a_score_are_told(
    study: dict[str, Any], read: Callable[[dict[str, Any]], Study], files: StudyFiles
) -> None:
    study["runs"]["trades"] = {"track": {"correct": {"every": 2}, "visits": {}}}
    study["scores"]["hard"] = {"method": "classification_difficulty", "tracked": "trades"}
    study["runs"]["easy"] = {"prune": [{"by": "hard", "drop": "hardest", "fraction": 0.2}]}
    parts = parts_of(read({"kind": "cost", "runs": ["easy", "online"]}), files)
    (score, *_) = [part for part in parts if part.kind == "score"]
    assert [set(each["track"]) for each in score.gathered] == [{"correct"}]
    assert score.gathered[0]["training"]["method"] == "trades"
    online = {part.name: part.online for part in parts if part.kind == "training"}
    assert online["online"]["policy"] == "online_margin"
    assert online["easy"] == {}


MODULE = """
from typing import ClassVar, Literal
from pumalib.reporting.report_settings import ReportSettings
class PieSettings(ReportSettings):
    section: ClassVar[str] = {section!r}
    kind: Literal[{kind!r}]
    def check(self, study, where): ...
    def needs(self, study, files): ...
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MODULE.format(section=SECTIONS[0], kind="pie"), r"expected a module pumalib\.reporting\.kinds\.pie"),
        (MODULE.format(section=SECTIONS[0], kind="pies"), r'its kind Literal\["pie"\]'),
        (
            MODULE.format(section="Pies", kind="pie"),
            "expected a section of PieSettings among Gate, .*, got Pies",
        ),
        (MODULE.replace("    section", "    place").format(section="", kind="pie"), "got none"),
        (MODULE.replace("    def needs", "    def reads").format(section=SECTIONS[0], kind="pie"), "without needs"),
        ("", r"expected one class of ReportSettings, .* in pumalib\.reporting\.settings\.pie"),
    ],
)
def test_a_kind_that_is_not_whole_is_refused_when_studies_are_read(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pie.py").write_text(text)
    monkeypatch.setattr(settings, "__path__", [*settings.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "pumalib.reporting.settings.pie", raising=False)
    with pytest.raises((ConfigError, TypeError), match=message):
        report_kinds()
