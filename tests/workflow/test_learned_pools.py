"""Learned pools through the whole workflow, and a job that is killed on its way."""

import re

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.slow

STUDY = {
    "study": "learned",
    "seeds": [0],
    "threat": {"norm": "linf", "epsilon": 0.1},
    "datasets": {
        "digits": {
            "source": "digits",
            "split": "seeded",
            "test_fraction": 0.3,
            "validation_fraction": 0.1,
            "train_count": 100,
            "test_count": 50,
        }
    },
    "pools": {
        "real": {"dataset": "digits"},
        "learned": {
            "learned": {
                "pool": "real",
                "method": "tri_level",
                "architectures": [{"name": "mlp", "width": 16}],
                "steps": 12,
                "unrolled_steps": 2,
                "batch_size": 32,
                "networks": 2,
                "max_age": 6,
                "attack_steps": 2,
                "attack_batch_size": 32,
                "bound": 0.1,
                "probe_every": 6,
            }
        },
        "robustified": {
            "learned": {"pool": "real", "method": "robust_features", "model": "trades", "steps": 5, "batch_size": 60}
        },
    },
    "defaults": {
        "pool": "real",
        "architecture": {"name": "mlp", "width": 16},
        "training": {
            "method": "natural",
            "epochs": 2,
            "samples_per_epoch": 320,
            "batch_size": 64,
            "crop_padding": 0,
            "horizontal_flip": False,
        },
    },
    "scores": {"margin": {"method": "fast_margin", "model": "trades", "pool": "learned", "max_iterations": 5}},
    "runs": {
        "trades": {"training": {"method": "trades", "attack_steps": 2}},
        "on-learned": {"pool": "learned", "prune": [{"by": "margin", "drop": "easiest", "fraction": 0.1}]},
        "on-robustified": {"pool": "robustified"},
    },
    "attacks": {"pgd": {"method": "pgd", "steps": 2}},
    "reports": {
        "table": {"kind": "comparison", "baseline": "trades"},
        "cost": {"kind": "cost", "baseline": "trades", "seconds": True},
    },
}


TARGET = "results/learned/learned/learned/seed0.h5"


@pytest.fixture(scope="module")
def learned(make_checkout):
    checkout = make_checkout()
    (checkout.folder / "learned.yaml").write_text(yaml.safe_dump(STUDY))
    result = checkout.run(study="learned.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    return checkout


def read(path, name):
    with h5py.File(path) as file:
        return file[name][...]


def test_runs_scores_and_reports_work_on_learned_pools(learned):
    results = learned.folder / "results/learned"
    real = read(results / "pools/real/seed0.h5", "images")
    images = {name: read(results / f"pools/{name}/seed0.h5", "images") for name in ("learned", "robustified")}
    assert np.abs(images["learned"].astype(int) - real).max() in range(1, 26)
    assert (images["robustified"] != real).any((1, 2, 3)).all()
    for name in images:
        np.testing.assert_array_equal(
            read(results / f"pools/{name}/seed0.h5", "labels"), read(results / "pools/real/seed0.h5", "labels")
        )
    assert set(pd.read_csv(results / "results.csv").run) == {"trades", "on-learned", "on-robustified"}
    assert read(results / "selections/on-learned/seed0.h5", "rows").shape == (90,)
    progress = pd.read_csv(results / "logs/learned/learned/seed0.progress.csv")
    assert progress.step.tolist() == [0, 6, 12]
    assert not list(results.rglob("*.state"))
    assert learned.planned("learned.yaml") == set()


def test_costs_hold_the_learning_and_the_model_behind_it(learned):
    """By hand; 100 rows learned in 5 steps, and looked at three times more."""
    table = pd.read_csv(learned.folder / "results/learned/reports/cost.csv").set_index("run")
    assert table.loc["on-learned"].set_index("part").forward_passes["learned pool"] == 12 * (64 + 96) + 96
    robustified = table.loc["on-robustified"].set_index("part")
    assert set(robustified["name"].dropna()) == {"on-robustified", "trades", "robustified", "pgd"}
    passes = robustified[["forward_passes", "backward_passes"]]
    assert passes.loc["learned pool"].tolist() == [100 * (5 + 3), 100 * 5]
    assert passes.loc["training"].tolist() == [2 * 320, 2 * 320]
    assert passes.loc["margin model"].tolist() == [2 * 320 * (2 + 2)] * 2  # two steps of the attack, clean, attacked
    assert passes.loc["whole"].tolist() == [800 + 640 + 2560, 500 + 640 + 2560]
    assert robustified.seconds["whole"] == pytest.approx(
        robustified.seconds[["training", "margin model", "learned pool"]].sum()
    )


def test_changing_the_learning_learns_that_pool_again_and_trains_no_other_run(learned):
    text = (learned.folder / "learned.yaml").read_text()
    (learned.folder / "changed.yaml").write_text(text.replace("max_age: 6", "max_age: 7"))
    planned = learned.planned("changed.yaml")
    assert {"learn pool learned", "train on-learned"} <= planned
    assert not {"learn pool robustified", "train trades", "train on-robustified"} & planned


def test_deleted_source_of_a_learned_pool_is_made_again(learned):
    path = learned.folder / TARGET
    content = path.read_bytes()
    path.unlink()
    assert "learn pool learned" in learned.planned("learned.yaml")
    result = learned.run(TARGET, study="learned.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    assert path.read_bytes() == content


KILLING = """
import os, signal
from pathlib import Path
from torch import nn

def Net(image_shape, num_classes):
    flag = Path("kill")
    if flag.exists() and list(Path("results").rglob("*.state")):
        flag.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))
"""


@pytest.mark.slow
def test_killed_job_goes_on_where_it_was(make_checkout):
    """The job kills itself when it builds a network after the first state is saved."""
    checkout = make_checkout()
    study = yaml.safe_load(yaml.safe_dump(STUDY))
    study["pools"]["learned"]["learned"]["architectures"] = ["killing:Net"]
    study["save_every_seconds"] = 0
    (checkout.folder / "killed.yaml").write_text(yaml.safe_dump(study))
    (checkout.folder / "killing.py").write_text(KILLING)
    (checkout.folder / "kill").touch()
    target, results = checkout.folder / TARGET, checkout.folder / "results/learned"
    log, state = results / "logs/learned/learned/seed0.log", results / "work/learned/learned/seed0.state"
    assert checkout.run(TARGET, study="killed.yaml").returncode != 0
    assert not (checkout.folder / "kill").exists()
    assert state.is_file()
    assert not target.exists()
    resumed = checkout.run(TARGET, study="killed.yaml")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert re.search(r"go on from step \d+ of 12", log.read_text())
    assert not state.exists()
    content = target.read_bytes()
    target.unlink()
    assert checkout.run(TARGET, study="killed.yaml").returncode == 0
    assert "go on" not in log.read_text()
    assert target.read_bytes() == content
