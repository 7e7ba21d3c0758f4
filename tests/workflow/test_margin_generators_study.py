"""The study that asks whether a generator that knows margins helps, in miniature; and its pruning rule."""

import shutil
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from pumalib.files.user_modules import load_user_object
from pumalib.selection.rule import RuleRows
from pumalib.study.file import read_study_file
from pumalib.study.part import part_of

ROOT = Path(__file__).parents[2]
STUDY = ROOT / "studies/margin-generators.yaml"


@pytest.mark.parametrize(("rule", "kept"), [("keep", [0, 3, 2, 4]), ("keep_positive", [0, 3, 4, 5])])
def test_rule_keeps_all_real_rows_and_the_lowest_margins_of_generated_ones(monkeypatch, rule, kept):
    monkeypatch.chdir(ROOT)
    keep = load_user_object(f"studies.lowest_generated:{rule}", "a rule")
    source = np.array([0, 1, 1, 0, 1, 1], np.uint8)
    margins = np.array([9.0, 0.3, -0.1, 8.0, 0.2, 0.2], np.float32)
    rows = RuleRows(4, None, source, {"margin": margins}, {}, np.random.default_rng(0), 6)
    assert keep(rows).tolist() == kept


@pytest.mark.parametrize(("name", "real"), [("margin-generators", 963), ("margin-generators-fashion", 2500)])
def test_study_prunes_to_as_many_rows_as_are_asked_for(name, real):
    """Of 1,797 digits, a third is for tests, and a fifth of the others for validation."""
    study = read_study_file(ROOT / f"studies/{name}.yaml")
    rows = {name: pool.get("synthetic", {}).get("count", 0) for name, pool in study["pools"].items()}
    whole = real + rows["plain-all"]
    pruned = [run["prune"][0] for run in study["runs"].values() if "prune" in run]
    assert len(pruned) >= 2
    for rule in pruned:
        assert whole - round(rule["fraction"] * whole) == real + rows["near"] == real + rows["plain"]
    assert rows["plain-all"] == 5 * rows["near"] == rows["near-all"]


def miniature():
    """Return the part of the study behind its primary contrast and its report of generated rows, made tiny."""
    raw = read_study_file(STUDY)
    del raw["gate"]
    raw = part_of(raw, ["came"])
    raw["seeds"] = [0]
    raw["datasets"]["digits"] |= {"train_count": 50, "test_count": 50}
    raw["generators"]["edm"] |= {"width": 16, "num_blocks": 1, "steps": 10, "batch_size": 32, "sampling_steps": 3}
    for name, pool in raw["pools"].items():
        if "synthetic" in pool:
            pool["synthetic"]["count"] = 100 if name == "plain-all" else 20
    raw["defaults"]["training"] |= {"epochs": 2, "attack_steps": 1}
    for run in raw["runs"].values():
        run.setdefault("training", {}).update({"samples_per_epoch": 640, "batch_size": 64})
    raw["runs"]["pruned"]["prune"][0]["fraction"] = 80 / 150
    for score in raw["scores"].values():
        score["max_iterations"] = 5
    raw["attacks"]["cw"]["steps"] = 2
    raw["pools"]["near"]["synthetic"]["margin"] = {"below": 10}  # the model of a moment knows few margins
    return raw


@pytest.mark.slow
def test_study_runs_in_miniature_and_reports_what_came(make_checkout):
    checkout = make_checkout()
    (checkout.folder / "studies").mkdir()
    shutil.copy2(ROOT / "studies/lowest_generated.py", checkout.folder / "studies")
    (checkout.folder / "miniature.yaml").write_text(yaml.safe_dump(miniature(), sort_keys=False))
    result = checkout.run(study="miniature.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    results = checkout.folder / "results/margin-generators"
    with (
        h5py.File(results / "scores/margin/seed0.h5") as scores,
        h5py.File(results / "selections/pruned/seed0.h5") as kept,
    ):
        margins, rows = scores["score"][...], kept["rows"][...]
    assert rows[:50].tolist() == list(range(50))
    assert len(rows) == 70
    assert np.sort(margins[rows[50:]]) == pytest.approx(np.sort(margins[50:])[:20])
    table = pd.read_csv(results / "reports/came.csv").set_index("set")
    assert table.index.tolist() == ["digits", "plain", "near", "guided", "entropy"]
    assert table["denied_by_other"].notna().all()
    assert table.loc["near", ["within", "plain_within"]].tolist() == [1, 1]  # all was asked for
    assert "Primary contrast" in (results / "README.md").read_text()
