"""A generator that learns margins, and pools that ask for them or are guided, through the whole workflow."""

import h5py
import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.slow

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
    "scores": {"real-margin": {"method": "fast_margin", "model": "real", "pool": "real", "max_iterations": 10}},
    "runs": {"real": {}, "near": {"pool": "near"}, "guided": {"pool": "guided"}},
    "attacks": {"pgd": {"method": "pgd", "steps": 2}},
    "reports": {"cost": {"kind": "cost", "baseline": "real"}},
}


@pytest.fixture(scope="module")
def boundary(make_checkout):
    checkout = make_checkout()
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
    assert set(pd.read_csv(results / "results.csv").run) == {"real", "near", "guided"}
    assert boundary.planned("boundary.yaml") == set()


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
