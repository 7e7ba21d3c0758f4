"""Bringing one's own images, model and score, as docs/studies.md shows."""

import numpy as np
import pandas as pd
import yaml
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

SCORES = """
def entropy(model, images, labels):
    probabilities = model(images).softmax(1)
    return -(probabilities * probabilities.log()).sum(1)
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


def test_own_images_model_and_score_go_through_the_whole_workflow(make_checkout):
    checkout = make_checkout()
    digits = load_digits()
    images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    for name, rows in (("train", slice(0, 400)), ("test", slice(400, 500)), ("generated", slice(500, 700))):
        np.savez(checkout.folder / name, image=images[rows], label=digits.target[rows].astype(np.int64))
    (checkout.folder / "my_models.py").write_text(MODELS)
    (checkout.folder / "my_scores.py").write_text(SCORES)
    (checkout.folder / "own.yaml").write_text(yaml.safe_dump(STUDY))

    result = checkout.run(study="own.yaml")
    assert result.returncode == 0, result.stdout + result.stderr
    results = pd.read_csv(checkout.folder / "results/own/results.csv", keep_default_na=False)
    assert results.groupby("run")["num_kept"].first().to_dict() == {"trades": 450, "entropy-20": 360}

    checkout.edit("my_scores.py", "probabilities.log()", "(probabilities + 1e-9).log()")
    assert checkout.planned("own.yaml") == {
        "score entropy",
        "join score entropy",
        "select rows of entropy-20",
        "train entropy-20",
        "attack entropy-20",
        "results of own",
        "page of own",
    }
