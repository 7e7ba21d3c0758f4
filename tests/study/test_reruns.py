"""The table of what reruns, held to the fingerprints after an edit of each module."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pumalib.files.provenance import changes_no_number
from pumalib.study.file import load_study
from pumalib.study.reruns import NAMED, as_page, fingerprints, modules, named_behind, reruns
from pumalib.study.slices import (
    attack_code,
    dataset_code,
    learning_code,
    model_code,
    score_code,
    selection_code,
    synthetic_code,
)
from pumalib.study.study import Study

ROOT = Path(__file__).parents[2]

EDIT_EACH = """
import json
from pumalib.study.reruns import LIBRARY, fingerprints, modules
before = fingerprints()
changed = {}
for module in modules():
    path = LIBRARY.joinpath(*module.split(".")[1:]).with_suffix(".py")
    text = path.read_bytes()
    path.write_bytes(text + b"\\n_EDITED = 1\\n")
    after = fingerprints()
    changed[module] = [key for key in before if before[key] != after[key]]
    path.write_bytes(text)
print(json.dumps(changed))
"""


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, str]]]:
    """Append a line to each module of a copy in turn; return the rules, with the module named, that change."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("pumalib", "workflow_scripts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", EDIT_EACH]
    finished = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return {module: [tuple(key) for key in keys] for module, keys in json.loads(finished.stdout).items()}


def cells() -> dict[str, str]:
    """Return the rules of each module as the committed page has them."""
    lines = (ROOT / "docs/reruns.md").read_text(encoding="utf-8").splitlines()
    found = (re.fullmatch(r"\| `([\w.]+)` \| (.*) \|", line) for line in lines)
    return {f"pumalib.{match[1]}": match[2] for match in found if match}


def test_committed_page_is_todays() -> None:
    assert (ROOT / "docs/reruns.md").read_text(encoding="utf-8") == as_page(), "run `make reruns`"


@pytest.mark.slow
def test_edit_of_each_module_reruns_what_the_page_says(edited: dict[str, list[tuple[str, str]]]) -> None:
    assert set(cells()) == set(edited) == set(modules())
    for module, keys in edited.items():
        always = [rule for rule, named in keys if not named]
        expected = [
            rule if rule in always else f"{rule}: {', '.join(_last(named) for each, named in keys if each == rule)}"
            for rule in dict.fromkeys(rule for rule, _ in keys)
        ]
        told = cells()[module]
        assert ([] if told.startswith("none") else told.split("; ")) == expected, module


def _last(module: str) -> str:
    return module.rpartition(".")[2]


@pytest.mark.slow
def test_settings_and_what_surrounds_a_job_rerun_nothing(edited: dict[str, list[tuple[str, str]]]) -> None:
    quiet = [module for module in edited if changes_no_number(module)]
    assert {"pumalib.jobs.frame", "pumalib.jobs.driver", "pumalib.jobs.device_locks", "pumalib.jobs.torchrun",
            "pumalib.jobs.termination", "pumalib.attacks.settings", "pumalib.data.settings"} <= set(quiet)  # fmt: skip
    assert {module: edited[module] for module in quiet if edited[module]} == {}


@pytest.mark.slow
def test_code_of_selecting_and_of_score_tables_reruns_no_training(edited: dict[str, list[tuple[str, str]]]) -> None:
    for module, keys in edited.items():
        if module.startswith(("pumalib.selection.", "pumalib.scores.")):
            assert "model" not in {rule for rule, _ in keys}, module


@pytest.mark.slow
def test_report_kind_redraws_its_own_reports(edited: dict[str, list[tuple[str, str]]]) -> None:
    for module, keys in edited.items():
        if module.startswith("pumalib.reporting.kinds.") and module in [named for _, named in keys]:
            assert keys == [("report", module)], module


@pytest.fixture(scope="module")
def default() -> Study:
    study = load_study(ROOT / "config.yaml")
    assert isinstance(study, Study)
    return study


def test_margin_model_of_the_default_study_depends_on_no_cut_margin_or_score(default: Study) -> None:
    taken = fingerprints()
    reached = set(taken["selection", ""])
    for named in selection_code(default, "trades"):
        reached |= set(taken["selection", named])
    assert not reached & {"pumalib.selection.cuts", "pumalib.selection.epsilons", "pumalib.scores.table"}
    puma = {module for named in selection_code(default, "puma-20") for module in taken["selection", named]}
    assert {"pumalib.selection.cuts", "pumalib.selection.epsilons", "pumalib.scores.table"} <= puma


@pytest.mark.parametrize("path", ["config.yaml", "tests/golden/study.yaml", "tests/golden/study-l2.yaml"])
def test_table_knows_every_module_that_a_study_names(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    study = load_study(path)
    assert isinstance(study, Study)
    settings = study.settings
    looked = {rule: set(named_behind(rule)) for rule in NAMED}
    own = {"tests.golden.own_score"}
    for run in study.runs:
        assert set(selection_code(study, run)) <= looked["selection"]
        assert set(model_code(study, run)) <= looked["model"]
        for attack in study.attacks_of(run):
            assert set(attack_code(study, run, attack)) <= looked["attack"]
    for score in settings.scores:
        assert set(score_code(study, score)) - own <= looked["score_shard"] | looked["tracked_score"]
    for pool in settings.pools:
        assert set(synthetic_code(study, pool)) <= looked["synthetic"]
        assert set(learning_code(study, pool)) <= looked["learn_dataset"]
    for dataset in settings.datasets:
        assert set(dataset_code(study, dataset)) <= looked["dataset"]


def test_no_rule_is_missing() -> None:
    assert set(NAMED) == {path.stem for path in (ROOT / "workflow_scripts").glob("*.py")}
    assert set(reruns()) == set(modules())
