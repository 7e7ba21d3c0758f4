"""A checkpoint from elsewhere among the runs of a study, as docs/studies.md shows."""

import csv
import sys

import numpy as np
import pytest
import torch

from pumalib.data.datasets import read_split
from pumalib.models.build import build_model
from pumalib.models.checkpoint import read_metadata
from pumalib.models.settings import ArchitectureSettings

ARCHITECTURE = {"name": "wrn-10-1", "strided_padding": "end"}
MODEL = "results/tiny/models/theirs/seed{}/model.safetensors"
NORMALISED = {**ARCHITECTURE, "mean": [0.3], "std": [0.4]}


def elsewhere(seed):
    return build_model(ArchitectureSettings(**NORMALISED), (8, 8, 1), 10, seed).eval()


def write_checkpoint(path, seed):
    torch.save({"model_state_dict": torch.nn.DataParallel(elsewhere(seed)).state_dict(), "epoch": 1}, path)


def change(raw):
    raw["seeds"] = [0, 1]
    raw["datasets"]["digits"] |= {"train_count": 60, "test_count": 20}
    del raw["generators"]
    raw["pools"] = {"few": {"dataset": "digits"}, "unused": {"dataset": "digits"}}
    raw["defaults"] |= {"pool": "few"}
    raw["defaults"]["training"] |= {"epochs": 1, "samples_per_epoch": 64, "synthetic_fraction": 0.0}
    raw["runs"]["theirs"] = {"checkpoint": "elsewhere.pt", "architecture": NORMALISED, "pool": "unused"}
    raw["scores"] = {"margin": {"method": "fast_margin", "model": "theirs", "max_iterations": 2}}
    few = {"runs": ["trades", "theirs"]}
    raw["attacks"]["pgd"] |= few
    raw["attacks"]["worst"] = {"method": "worst_of", "attacks": ["cw", "pgd"], **few}
    raw["attacks"]["shortest"] = {"method": "minimum_norm", "num_images": 10, "max_iterations": 2, **few}
    raw["reports"] = {
        "table": {"kind": "comparison", "baseline": "trades", "attacks": ["cw", "worst"], **few},
        "trade-off": {"kind": "trade_off", "baseline": "theirs", "attack": "worst", **few},
        "curves": {"kind": "robustness_curves", "runs": ["theirs", "trades"], "attack": "shortest"},
        "cost": {"kind": "cost"},
    }


def lines_of(checkout):
    with (checkout.folder / "results/tiny/results.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def compared(make_checkout):
    """Return a checkout whose study with a checkpoint has run, and the name of its file."""
    checkout = make_checkout()
    write_checkpoint(checkout.folder / "elsewhere.pt", seed=1)
    study = checkout.study("theirs.yaml", change)
    result = checkout.run(study=study)
    assert result.returncode == 0, result.stdout + result.stderr
    return checkout, study


def puma(checkout, *arguments):
    return checkout.call([sys.executable, "-m", "pumalib", *arguments])


@pytest.mark.slow
def test_a_checkpoint_is_attacked_scored_and_tabled_beside_the_runs_of_the_study(compared):
    checkout, _ = compared
    theirs = [line for line in lines_of(checkout) if line["run"] == "theirs"]
    assert {(line["seed"], line["attack"]) for line in theirs} == {
        (seed, attack) for seed in "01" for attack in ("none", "cw", "pgd", "worst", "shortest")
    }
    assert {(line["num_kept"], line["pruned_fraction"], line["mean_epsilon"]) for line in theirs} == {("", "", "")}
    assert {line["num_kept"] for line in lines_of(checkout) if line["run"] == "trades"} == {"60"}
    for seed in (0, 1):
        split = read_split(checkout.folder / f"results/tiny/datasets/digits/seed{seed}.h5", "test")
        images = torch.from_numpy(split.images.copy()).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            right = (elsewhere(1)(images).argmax(1).numpy() == split.labels).mean()
        (clean,) = [line for line in theirs if (line["seed"], line["attack"]) == (str(seed), "none")]
        assert np.isclose(float(clean["value"]), right, atol=0)
    page = (checkout.folder / "results/tiny/reports/table.md").read_text()
    assert "| `theirs` | - | - | - |" in page
    for name in ("table", "trade-off", "curves"):
        assert "Trained elsewhere: `theirs`." in (checkout.folder / f"results/tiny/reports/{name}.md").read_text()
    cost = (checkout.folder / "results/tiny/reports/cost.md").read_text()
    assert "Left out too: `theirs`, trained elsewhere." in cost
    assert "Unknown: the training of `theirs`, which this study did not make." in cost


@pytest.mark.slow
def test_a_checkpoint_has_no_history_no_selection_and_no_pool_of_its_own(compared):
    checkout, _ = compared
    results = checkout.folder / "results/tiny"
    assert sorted(path.name for path in (results / "models/theirs/seed0").iterdir()) == ["model.safetensors"]
    assert not (results / "selections/theirs").exists()
    assert not (results / "pools/unused").exists()
    first, second = (read_metadata(checkout.folder / MODEL.format(seed)) for seed in (0, 1))
    assert first["settings"]["checkpoint"] == "elsewhere.pt"
    assert first["inputs"] == second["inputs"]


@pytest.mark.slow
def test_the_commands_know_a_checkpoint_among_the_runs(compared):
    checkout, study = compared
    checked = puma(checkout, "check", study)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "3 runs, 1 of them imported, 2 seeds, no problem found" in checked.stdout
    assert "4 trainings, 2 imported models" in checked.stdout
    chosen = ("--run", "theirs", "--seed", "1", "--attack", "cw")
    traced = puma(checkout, "trace", "results/tiny/results.csv", *chosen)
    assert traced.returncode == 0, traced.stdout + traced.stderr
    assert "elsewhere.pt" in traced.stdout
    inspected = puma(checkout, "inspect", MODEL.format(0))
    assert "a model trained elsewhere, architecture wrn-10-1" in " ".join(inspected.stdout.split())  # of any width
    shown = puma(checkout, "show", "results/tiny/attacks/theirs/seed0/cw.h5", "--out", "robust.png")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    write_checkpoint(checkout.folder / "elsewhere.pt", seed=5)
    traced = puma(checkout, "trace", "results/tiny/results.csv", *chosen)
    write_checkpoint(checkout.folder / "elsewhere.pt", seed=1)
    assert traced.returncode == 1
    assert "expected the checkpoint with the recorded fingerprint" in " ".join(traced.stdout.split())


@pytest.mark.slow
def test_only_another_content_of_the_checkpoint_makes_its_numbers_again(compared):
    checkout, study = compared
    assert checkout.planned(study) == set()
    (checkout.folder / "elsewhere.pt").touch()
    assert checkout.planned(study) == set()
    write_checkpoint(checkout.folder / "elsewhere.pt", seed=2)
    planned = checkout.planned(study)
    assert {"import theirs", "score margin", "attack theirs"} <= planned
    assert not {"train trades", "attack trades"} & planned
    write_checkpoint(checkout.folder / "elsewhere.pt", seed=1)
    assert checkout.planned(study) == set()
