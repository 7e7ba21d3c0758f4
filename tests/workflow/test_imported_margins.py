"""Margins through a checkpoint from elsewhere, as docs/studies.md shows."""

import h5py
import pytest
import torch

from pumalib.files.artifacts import file_fingerprint
from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings

ARCHITECTURE = {"name": "wrn-10-1", "strided_padding": "end"}
SCORE = "results/tiny/scores/imported/seed0.h5"


def write_checkpoint(path, seed):
    model = build_model(ArchitectureSettings(**ARCHITECTURE), (8, 8, 1), 10, seed)
    torch.save({"model_state_dict": torch.nn.DataParallel(model).state_dict(), "epoch": 1}, path)


def change(raw):
    reference = {"checkpoint": "elsewhere.pt", "architecture": ARCHITECTURE}
    raw["pools"]["few"] = {"dataset": "digits"}
    raw["datasets"]["digits"]["train_count"] = 30
    raw["scores"]["imported"] = {"method": "fast_margin", "pool": "few", "model": reference, "max_iterations": 3}


@pytest.mark.slow
def test_an_imported_checkpoint_scores_a_pool_and_a_new_one_scores_it_again(make_checkout):
    checkout = make_checkout()
    write_checkpoint(checkout.folder / "elsewhere.pt", seed=1)
    study = checkout.study("imported.yaml", change)
    result = checkout.run(SCORE, study=study)
    assert result.returncode == 0, result.stdout + result.stderr
    with h5py.File(checkout.folder / SCORE) as file:
        assert file.attrs["model_fingerprint"] == file_fingerprint(checkout.folder / "elsewhere.pt")
        assert len(file["score"]) == 30

    assert "nothing to be done" in checkout.run("--dry-run", SCORE, study=study).stdout.lower()
    checkout.edit("pumalib/models/wide_resnet.py", "nn.init.zeros_(module.bias)", "nn.init.ones_(module.bias)")
    assert "score imported" in checkout.run("--dry-run", SCORE, study=study).stdout
    checkout.edit("pumalib/models/wide_resnet.py", "nn.init.ones_(module.bias)", "nn.init.zeros_(module.bias)")
    write_checkpoint(checkout.folder / "elsewhere.pt", seed=2)
    assert "score imported" in checkout.run("--dry-run", SCORE, study=study).stdout
