"""Selection beyond one number per row, as docs/selection.md shows: scores from files, features, and rules."""

import h5py
import numpy as np
import pytest

RULE = """
import numpy as np

def spread(rows, every=2):
    order = np.argsort(rows.hardness["margin"])
    return np.concatenate([order[::every], order[1::every]])[: rows.count]
"""
KEPT = list(range(0, 400, 2))


def change(raw):
    raw["scores"] |= {
        "listed": {"method": "file", "path": "kept{seed}.csv"},
        "mine": {"method": "file", "path": "mine.csv", "column": "loss"},
        "center": {"method": "class_center", "model": "trades"},
        "cover": {"method": "k_center", "model": "trades", "scope": "per_class"},
    }
    raw["runs"] |= {
        "listed": {"prune": [{"by": "listed", "below": 1}]},
        "mine": {"prune": [{"by": "mine", "drop": "hardest", "fraction": 0.1}]},
        "moderate": {"prune": [{"by": "center", "drop": "extremes", "fraction": 0.4, "scope": "per_class"}]},
        "k-center": {"prune": [{"by": "cover", "drop": "easiest", "fraction": 0.4, "scope": "per_class"}]},
        "ccs": {"prune": [{"rule": "ccs", "by": "margin", "fraction": 0.5, "hardest": 0.1}]},
        "spread": {"prune": [{"rule": "my_rules:spread", "by": "margin", "fraction": 0.5, "options": {"every": 3}}]},
    }
    raw["reports"]["costs"] = {"kind": "cost"}


@pytest.fixture
def checkout(make_checkout):
    made = make_checkout()
    (made.folder / "my_rules.py").write_text(RULE)
    (made.folder / "kept0.csv").write_text("row\n" + "".join(f"{row}\n" for row in KEPT))
    (made.folder / "mine.csv").write_text("row,loss\n" + "".join(f"{row},{row / 7}\n" for row in range(400)))
    return made


def test_a_study_of_selection_methods_is_planned_and_knows_their_files(checkout):
    study = checkout.study("methods.yaml", change)
    assert {"read score listed", "score cover"} <= checkout.planned(study)
    (checkout.folder / "kept0.csv").unlink()
    refused = checkout.run("--dry-run", study=study)
    assert refused.returncode != 0
    assert "expected a file, found none at kept0.csv, named at scores.listed.path" in refused.stdout + refused.stderr


@pytest.mark.slow
def test_a_study_of_selection_methods_runs(checkout):
    study = checkout.study("methods.yaml", change)
    result = checkout.run(study=study)
    assert result.returncode == 0, result.stdout + result.stderr
    rows = {}
    for run in ("listed", "mine", "moderate", "k-center", "ccs", "spread"):
        with h5py.File(checkout.folder / f"results/tiny/selections/{run}/seed0.h5") as file:
            rows[run] = file["rows"][:]
    with h5py.File(checkout.folder / "results/tiny/scores/margin/seed0.h5") as file:
        margins = file["score"][:]
    assert rows["listed"].tolist() == KEPT
    assert rows["mine"].max() == 359
    assert len(rows["moderate"]) == pytest.approx(240, abs=5)
    assert len(rows["k-center"]) == pytest.approx(240, abs=5)
    assert len(rows["ccs"]) == 200
    assert not set(np.argsort(margins)[:40]) & set(rows["ccs"])  # the lowest margins are the hardest
    order = np.argsort(-margins.astype(float))
    assert rows["spread"].tolist() == sorted(np.concatenate([order[::3], order[1::3]])[:200])

    after_the_rule = {f"{job} spread" for job in ("train", "attack")} | {"select rows of spread"}
    checkout.edit("my_rules.py", "order[1::every]", "order[2::every]")
    assert after_the_rule <= checkout.planned(study)
    assert "select rows of ccs" not in checkout.planned(study)
    checkout.edit("my_rules.py", "order[2::every]", "order[1::every]")
    checkout.edit("kept0.csv", "\n0\n", "\n1\n")
    planned = checkout.planned(study)
    assert {"read score listed", "train listed"} <= planned
    assert not any("mine" in job for job in planned)
