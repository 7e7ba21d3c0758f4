"""Bringing one's own images, model and score, as docs/studies.md shows."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits

MODELS = """
import torch

class Net(torch.nn.Module):
    def __init__(self, image_shape, num_classes):
        super().__init__()
        height, width, channels = image_shape
        self.layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(height * width * channels, num_classes))

    def forward(self, images):
        return self.layers(images)
"""

HELPERS = """
FLOOR = 0.0
"""

SCORES = """
from my_helpers import FLOOR

def entropy(model, images, labels):
    probabilities = model(images).softmax(1)
    return -(probabilities * (probabilities + FLOOR).log()).sum(1)
"""

STUDY = {
    "study": "own",
    "seeds": [0],
    "threat": {"norm": "linf", "epsilon": "8/255"},
    "datasets": {"mine": {"source": "npz", "train": "train.npz", "test": "test.npz"}},
    "pools": {"mine": {"dataset": "mine", "synthetic": {"method": "npz", "path": "generated.npz", "count": 50}}},
    "defaults": {
        "pool": "mine",
        "architecture": "my_models:Net",
        "training": {
            "epochs": 2,
            "samples_per_epoch": 640,
            "batch_size": 64,
            "attack_steps": 2,
            "synthetic_fraction": 0.2,
        },
    },
    "scores": {"entropy": {"method": "my_scores:entropy", "model": "trades", "higher_is": "harder"}},
    "runs": {"trades": {}, "entropy-20": {"prune": [{"by": "entropy", "drop": "easiest", "fraction": 0.2}]}},
    "attacks": {"cw": {"method": "cw_pgd", "steps": 2}},
}


@pytest.mark.slow
def test_own_images_model_and_score_go_through_the_whole_workflow(make_checkout):
    checkout = make_checkout()
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    for name, rows in (("train", slice(0, 400)), ("test", slice(400, 500)), ("generated", slice(500, 700))):
        np.savez(checkout.folder / name, image=images[rows], label=digits.target[rows].astype(np.int64))
    (checkout.folder / "my_models.py").write_text(MODELS)
    (checkout.folder / "my_scores.py").write_text(SCORES)
    (checkout.folder / "my_helpers.py").write_text(HELPERS)
    (checkout.folder / "own.yaml").write_text(yaml.safe_dump(STUDY))

    result = checkout.run(study="own.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    results = pd.read_csv(checkout.folder / "results/own/results.csv", keep_default_na=False)
    assert results.groupby("run")["num_kept"].first().to_dict() == {"trades": 450, "entropy-20": 360}

    after_the_score = {
        "score entropy",
        "join score entropy",
        "select rows of entropy-20",
        "train entropy-20",
        "attack entropy-20",
        "results of own",
        "page of own",
    }
    checkout.edit("my_scores.py", "-(probabilities", "-1.0 * (probabilities")
    assert checkout.planned("own.yaml") == after_the_score
    checkout.edit("my_scores.py", "-1.0 * (probabilities", "-(probabilities")
    checkout.edit("my_helpers.py", "0.0", "1e-9")
    assert checkout.planned("own.yaml") == after_the_score
    traced = trace(checkout, "results/own/scores/entropy/seed0.h5")
    assert "changed since: my_helpers" in " ".join(traced.replace("│", " ").split())
    checkout.edit("my_helpers.py", "1e-9", "0.0")
    assert checkout.planned("own.yaml") == set()

    os.utime(checkout.folder / "generated.npz")
    assert checkout.planned("own.yaml") == set()
    replace_by_an_older_file(checkout.folder / "generated.npz", images[700:900], digits.target[700:900])
    assert {"synthetic set of pool mine", "pool mine", "train trades"} <= checkout.planned("own.yaml")
    assert "dataset mine" not in checkout.planned("own.yaml")
    traced = trace(checkout, "results/own/selections/trades/seed0.h5", status=1)
    assert "expected the files generated.npz with the recorded fingerprint" in " ".join(traced.split())


def trace(checkout, path, status=0):
    command = [sys.executable, "-m", "pumalib", "trace", path]
    result = subprocess.run(command, cwd=checkout.folder, env=checkout.environment, capture_output=True, text=True)
    assert result.returncode == status, result.stdout + result.stderr
    return result.stdout


def replace_by_an_older_file(path, images, labels):
    """Replace a file as `rsync -a` and `tar x` do: with the mtime of its origin."""
    before = path.stat()
    np.savez(path, image=images, label=labels.astype(np.int64))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 10**9))


@pytest.mark.slow
def test_images_replaced_inside_a_folder_are_noticed_and_a_touch_is_not(make_checkout):
    checkout = make_checkout()
    digits = load_digits()
    for row in range(60):
        path = checkout.folder / f"photos/{digits.target[row]}/{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(digits.images[row] * (255 / 16)).astype(np.uint8)).save(path)
    study = {**STUDY, "study": "photos", "pools": {"mine": {"dataset": "mine"}}}
    study["datasets"] = {
        "mine": {"source": "folder", "path": "photos", "image_size": 8, "channels": 1,
                 "split": "seeded", "test_fraction": 0.3}
    }  # fmt: skip
    study["runs"], study["scores"] = {"trades": {}}, {}
    (checkout.folder / "my_models.py").write_text(MODELS)
    (checkout.folder / "photos.yaml").write_text(yaml.safe_dump(study))
    dataset = "results/photos/datasets/mine/seed0.h5"

    def planned():
        result = checkout.run("--dry-run", dataset, study="photos.yaml")
        assert result.returncode == 0, result.stdout + result.stderr
        return "dataset mine" in result.stdout + result.stderr

    assert checkout.run(dataset, study="photos.yaml").returncode == 0
    assert not planned()
    first = checkout.folder / "photos/0/0.png"
    os.utime(first)
    assert not planned()
    content, status = first.read_bytes(), first.stat()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(first)
    os.utime(first, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))
    assert planned()
    assert "expected the files photos with the recorded" in " ".join(trace(checkout, dataset, status=1).split())
    first.write_bytes(content)
    assert not planned()
    first.rename(first.with_name("renamed.png"))
    assert planned()


TREE = "digit even\ndigit odd\neven d0\neven d2\neven d4\nodd d1\nodd d3\n"


@pytest.mark.slow
def test_classes_of_a_tree_become_groups_and_an_edit_of_the_tree_makes_them_again(make_checkout):
    checkout = make_checkout()
    digits = load_digits()
    for row in np.flatnonzero(digits.target[:200] < 5):
        path = checkout.folder / f"photos/d{digits.target[row]}/{row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.rint(digits.images[row] * (255 / 16)).astype(np.uint8)).save(path)
    (checkout.folder / "is_a.txt").write_text(TREE)
    study = {**STUDY, "study": "groups", "pools": {"mine": {"dataset": "mine"}}, "runs": {"trades": {}}, "scores": {}}
    study["datasets"] = {
        "mine": {"source": "folder", "path": "photos", "image_size": 8, "channels": 1, "split": "seeded",
                 "test_fraction": 0.3, "classes": {"tree": "is_a.txt", "groups": 2}}
    }  # fmt: skip
    study["reports"] = {"groups": {"kind": "class_groups", "dataset": "mine"}}
    (checkout.folder / "my_models.py").write_text(MODELS)
    (checkout.folder / "groups.yaml").write_text(yaml.safe_dump(study))
    results = checkout.folder / "results/groups"

    result = checkout.run(study="groups.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    table = pd.read_csv(results / "reports/groups.csv").set_index("class")
    assert table["group"].to_dict() == {"d0": "even", "d2": "even", "d4": "even", "d1": "odd", "d3": "odd"}
    assert table["images"].to_dict() == {
        f"d{digit}": int((digits.target[:200] == digit).sum()) for digit in (0, 2, 4, 1, 3)
    }
    assert (
        "5 classes make 2 groups by is_a.txt, 2 were wanted" in (results / "logs/datasets/mine/seed0.log").read_text()
    )
    attacked = pd.read_csv(results / "results.csv", keep_default_na=False)
    assert set(attacked["run"]) == {"trades"}
    assert checkout.planned("groups.yaml") == set()

    checkout.edit("is_a.txt", "even d4", "odd d4")
    assert {"dataset mine", "report groups", "train trades"} <= checkout.planned("groups.yaml")
    checkout.edit("is_a.txt", "digit even", "odd even")
    checkout.edit("is_a.txt", "digit odd", "even odd")
    result = checkout.run("--dry-run", study="groups.yaml")
    assert result.returncode != 0
    assert "Error: expected a class tree without a cycle, got even -> odd -> even in is_a.txt" in result.stderr
