"""A generator that learns margins, pools that ask for them or are guided, and what came: through the whole workflow."""

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.slow

SECOND = {"method": "fast_margin", "model": "second", "max_iterations": 5}
GENERATED = {"method": "generator", "generator": "edm", "count": 40}
STUDY = {
    "study": "boundary",
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
    "generators": {
        "edm": {
            "method": "edm",
            "dataset": "digits",
            "network": "mlp",
            "width": 16,
            "num_blocks": 1,
            "steps": 10,
            "batch_size": 32,
            "learning_rate": 2e-3,
            "averaging": 0.9,
            "sampling_steps": 3,
            "sampling_batch_size": 25,
            "margin": {"score": "real-margin"},
        }
    },
    "pools": {
        "real": {"dataset": "digits"},
        "near": {"dataset": "digits", "synthetic": {**GENERATED, "margin": {"below": 0.3, "above": -1}}},
        "theirs": {"dataset": "digits", "synthetic": {"method": "npz", "path": "theirs.npz"}},
        "guided": {
            "dataset": "digits",
            "synthetic": {**GENERATED, "guidance": {"method": "entropy", "model": "real", "weight": 0.5}},
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
    "scores": {
        "real-margin": {"method": "fast_margin", "model": "real", "pool": "real", "max_iterations": 10},
        **{f"second-{pool}": {**SECOND, "pool": pool} for pool in ("theirs", "near", "guided")},
    },
    "runs": {"real": {}, "second": {"repetition": 1}, "near": {"pool": "near"}, "guided": {"pool": "guided"}},
    "attacks": {"pgd": {"method": "pgd", "steps": 2}},
    "reports": {
        "cost": {"kind": "cost", "baseline": "real"},
        "came": {"kind": "generated_rows", "scores": ["second-theirs", "second-near", "second-guided"]},
    },
}


@pytest.fixture(scope="module")
def boundary(make_checkout):
    checkout = make_checkout()
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 1), np.uint8)
    np.savez(checkout.folder / "theirs.npz", image=images, label=np.arange(30) % 10)
    (checkout.folder / "boundary.yaml").write_text(yaml.safe_dump(STUDY))
    result = checkout.run(study="boundary.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    return checkout


def test_asked_and_guided_samples_come_out_of_one_generator(boundary):
    results = boundary.folder / "results/boundary"
    with h5py.File(results / "scores/real-margin/seed0.h5") as scores:
        margins = scores["score"][...]
    with h5py.File(results / "synthetic/near/seed0.h5") as near:
        asked, images = near["asked_margin"][...], near["images"][...]
    assert set(asked.tolist()) <= set(margins[(margins >= -1) & (margins < 0.3)].tolist())
    with h5py.File(results / "synthetic/guided/seed0.h5") as guided:
        assert "asked_margin" not in guided
        assert (guided["images"][...] != images).any()
    assert set(pd.read_csv(results / "results.csv").run) == {"real", "second", "near", "guided"}
    assert boundary.planned("boundary.yaml") == set()


def test_report_of_generated_rows_holds_sets_of_this_generator_and_from_elsewhere(boundary):
    results = boundary.folder / "results/boundary"
    table = pd.read_csv(results / "reports/came.csv").set_index("set")
    assert table.index.tolist() == ["digits", "theirs", "near", "guided"]
    assert table["num_rows"].tolist() == [100, 30, 40, 40]
    assert table["num_measured"].dropna().tolist() == [30, 30, 30]
    with h5py.File(results / "scores/real-margin/seed0.h5") as scores:
        margins = scores["score"][...]
    with h5py.File(results / "scores/second-near/seed0.h5") as scores:
        second = scores["score"][...]
    near = table.loc["near"]
    assert near["asked_from"] == pytest.approx((margins < -1).mean())
    assert near["asked_to"] == pytest.approx((margins < 0.3).mean())
    assert near["margin_0.5"] == pytest.approx(np.median(second[100:]), abs=1e-6)
    assert table["asked_to"].notna().tolist() == [False, False, True, False]


def test_costs_hold_the_margins_and_the_models_behind_the_samples(boundary):
    table = pd.read_csv(boundary.folder / "results/boundary/reports/cost.csv").set_index("run")
    assert set(table.loc["near"]["name"].dropna()) == {"near", "real", "real-margin"}
    assert set(table.loc["guided"]["name"].dropna()) == {"guided", "real", "real-margin"}


def test_another_range_or_weight_samples_that_pool_again_and_trains_no_generator(boundary):
    text = (boundary.folder / "boundary.yaml").read_text()
    for old, new, pool in (("above: -1", "above: -0.5", "near"), ("weight: 0.5", "weight: 0.25", "guided")):
        assert text.count(old) == 1
        (boundary.folder / "changed.yaml").write_text(text.replace(old, new))
        planned = boundary.planned("changed.yaml")
        assert {f"synthetic set of pool {pool}", f"train {pool}"} <= planned
        assert not {"train generator edm", "train real"} & planned


def test_other_margins_train_the_generator_again(boundary):
    text = (boundary.folder / "boundary.yaml").read_text()
    (boundary.folder / "changed.yaml").write_text(text.replace("max_iterations: 10", "max_iterations: 9"))
    planned = boundary.planned("changed.yaml")
    assert {"train generator edm", "synthetic set of pool guided"} <= planned
    assert "train real" not in planned


def test_code_of_a_guidance_samples_the_pools_again_that_it_guides(boundary):
    path = boundary.folder / "pumalib/synthesis/guidance/entropy.py"
    text = path.read_text()
    path.write_text(text + "\nOF_TODAY = True\n")
    planned = boundary.planned("boundary.yaml")
    path.write_text(text)
    assert "synthetic set of pool guided" in planned
    assert not {"synthetic set of pool near", "train generator edm"} & planned
