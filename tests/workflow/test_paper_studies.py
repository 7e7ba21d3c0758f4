"""The paper's study and its twin: they hold the same reports, and each report builds only what it needs."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from stand_ins import write_cifar10

from pumalib.study.file import read_study_file
from pumalib.study.study import StudySettings
from pumalib.tracks.passes import epochs_of, kind_of, passes_of

STUDIES = Path(__file__).parents[2] / "studies"
TWIN, PAPER = STUDIES / "digits-paper.yaml", STUDIES / "paper-cifar10.yaml"
FOREIGN = {"trades-foreign", "trades-foreign-large"}
"""Models that never saw the pool: the paper's study imports them, its twin trains them."""


@pytest.fixture(scope="module")
def paper(make_checkout):
    """A checkout with the paper's study, whose large files are stood in for by small ones."""
    checkout = make_checkout()
    raw = yaml.safe_load(PAPER.read_text())
    raw["datasets"]["cifar10"]["published"] = False
    write_cifar10(checkout.folder / raw["datasets"]["cifar10"]["path"], batch=20, test=10)
    images = np.zeros((100, 32, 32, 3), np.uint8)
    for pool in raw["pools"].values():
        if "synthetic" in pool:
            pool["synthetic"]["count"] = 100
            path = checkout.folder / pool["synthetic"]["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, image=images, label=np.arange(100) % 10)
    for score in raw["scores"].values():
        if isinstance(score.get("model"), dict):
            path = checkout.folder / score["model"]["checkpoint"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
    (checkout.folder / "paper.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    return checkout


CURVES = {"figure-5", "figure-6"}
"""Reports that the paper's study draws from kept epochs, and its twin from the histories."""


def members(report):
    """Return what a report is of: all but published numbers, labels of lines, and what curves are drawn from."""
    unlabelled = {key: list(report[key].values()) for key in ("lines", "baselines") if key in report}
    left_out = {"published"} | ({"kind", "attack"} if report["kind"] in ("kept_epochs", "training_curves") else set())
    return {key: value for key, value in report.items() if key not in left_out} | unlabelled


def trained_runs(checkout, study, *targets):
    """Return the runs that a dry-run of some targets would train, with their number of seeds."""
    result = checkout.run("--dry-run", *targets, study=study)
    assert result.returncode == 0, result.stdout + result.stderr
    names = re.findall(r"^Job \d+: train ([\w-]+), seed \d+", result.stdout + result.stderr, re.MULTILINE)
    return {name: names.count(name) for name in names}


def test_the_twin_holds_every_run_and_report_of_the_paper_under_the_same_name():
    paper, twin = read_study_file(PAPER), read_study_file(TWIN)
    assert list(twin["reports"]) == list(paper["reports"])
    assert set(twin["runs"]) - FOREIGN == set(paper["runs"])
    for name, report in paper["reports"].items():
        kinds = (report["kind"], twin["reports"][name]["kind"])
        assert kinds == ("kept_epochs", "training_curves") if name in CURVES else kinds[0] == kinds[1]
        assert members(report) == members(twin["reports"][name])


def test_difficulty_is_looked_at_fifty_times_from_epoch_8_to_the_last_and_its_ties_are_ranked_by_loss():
    study = StudySettings.model_validate(read_study_file(PAPER))
    looks = passes_of(study.runs["trades"].track)
    assert set(looks) == {"correct", "loss"}
    for wanted in looks.values():
        assert list(epochs_of(wanted, 400)) == list(range(8, 401, 8))
    assert len({kind_of(wanted) for wanted in looks.values()}) == 1  # one pass for both
    cuts = [cut for run in study.runs.values() for cut in run.prune if cut.by == "difficulty" and cut.fraction]
    assert len(cuts) == 6
    assert {cut.ties_by for cut in cuts} == {"mean-loss"}


def test_figures_5_and_6_attack_every_50_epochs_of_their_runs_on_5000_held_out_rows():
    paper = read_study_file(PAPER)
    assert paper["datasets"]["cifar10"]["validation_fraction"] * 50_000 == 5_000
    for name in CURVES:
        report = paper["reports"][name]
        attack = paper["attacks"][report["attack"]]
        assert (attack["method"], attack["steps"], attack["split"], attack["runs"]) == ("cw_pgd", 40, "validation", [])
        for run in (*report["runs"], report["baseline"]):
            assert paper["runs"][run]["training"] == {"keep_every": 50}


@pytest.mark.slow
def test_the_papers_study_plans_every_training_of_every_seed(paper):
    raw = read_study_file(PAPER)
    planned = trained_runs(paper, "paper.yaml")
    assert planned == dict.fromkeys(raw["runs"], len(raw["seeds"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("report", "needed"),
    [
        ("table-2", {"trades", "random-22", "pd-12", "pe-22", "pe-pd"}),
        ("table-4", {"trades-real", "real-20", "gap-1"}),
        ("figure-9", {"trades"}),
        ("margin-models", {"trades", "natural", "tuned"}),
    ],
)
def test_a_report_builds_only_what_it_needs(paper, report, needed):
    assert set(trained_runs(paper, "paper.yaml", report)) == needed


@pytest.mark.slow
def test_the_twin_plans_to_its_end(make_checkout):
    checkout = make_checkout()
    shutil.copy2(TWIN, checkout.folder / "twin.yaml")
    raw = read_study_file(TWIN)
    assert set(trained_runs(checkout, "twin.yaml")) == set(raw["runs"])
