"""Runs that start from the weights of another run, or of a checkpoint."""

import pytest
import torch

from pumalib.models.build import build_model
from pumalib.models.settings import ArchitectureSettings


@pytest.mark.slow
def test_a_run_starts_from_another_and_is_trained_again_with_it(make_checkout):
    checkout = make_checkout()
    network = build_model(ArchitectureSettings(name="mlp", width=16), (8, 8, 1), 10, seed=3)
    torch.save(network.state_dict(), checkout.folder / "elsewhere.pt")

    def change(raw):
        own = {"architecture": {"name": "mlp", "width": 16}}
        raw["runs"] |= {
            "first": own,
            "tuned": {**own, "start_from": "first"},
            "imported": {**own, "start_from": {"checkpoint": "elsewhere.pt"}},
        }

    study = checkout.study("start.yaml", change)
    targets = [f"results/tiny/models/{name}/seed0/model.safetensors" for name in ("tuned", "imported")]
    result = checkout.run(*targets, study=study)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "nothing to be done" in checkout.run("--dry-run", *targets, study=study).stdout.lower()

    network.load_state_dict({name: tensor + 1 for name, tensor in network.state_dict().items()})
    torch.save(network.state_dict(), checkout.folder / "elsewhere.pt")
    planned = checkout.run("--dry-run", *targets, study=study).stdout
    assert "train imported" in planned
    assert "train tuned" not in planned
    checkout.edit("pumalib/training/starting_weights.py", "wrong = misfit(", "wrong = False and misfit(")
    planned = checkout.run("--dry-run", *targets, study=study).stdout
    assert "train tuned" in planned
    assert "train first" not in planned
