"""What the benchmarks compute by themselves: AttackBench's optimality and its contract of an attack."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))
import attackbench
from front import optimality


def trapezoids(distances, best):
    """Return the optimality as AttackBench computes it: trapezoids between the sorted distances."""
    farthest = best.max()

    def area(values):
        places, counts = np.unique(np.minimum(values, farthest), return_counts=True)
        return np.trapezoid(1 - counts.cumsum() / len(values), places)

    clean = np.count_nonzero(best) / len(best)
    return 1 - (area(distances) - area(best)) / (clean * farthest - area(best))


def test_optimality_is_that_of_attackbench_to_the_width_of_a_trapezoid():
    rng = np.random.default_rng(0)
    best = np.append(rng.uniform(0.0, 1.0, 5000), 1e-9)
    for longer in (1.0, 1.1, 2.0):
        assert optimality(best * longer, best) == pytest.approx(trapezoids(best * longer, best), abs=2e-3)
    assert optimality(best, best) == 1
    assert optimality(np.full_like(best, np.inf), best) == 0


@pytest.mark.parametrize("name", ["deepfool", "refined"])
def test_margins_keep_the_contract_of_attackbench(name):
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4)).eval()
    inputs = torch.rand(20, 3, 2, 2, generator=generator)
    predicted = model(inputs).argmax(1)
    labels = torch.where(torch.arange(20) % 5 == 0, (predicted + 1) % 4, predicted)
    getter = getattr(attackbench, f"get_puma_{name}")
    options = {"max_iterations": 50} if name == "deepfool" else {"refinement_steps": 8, "restarts": 2}
    attack = getter(threat_model="linf", **options)
    points = attack(model=model, inputs=inputs, labels=labels, targets=None, targeted=False)
    assert points.shape == inputs.shape
    assert (model(points).argmax(1) != labels).all()
    assert torch.equal(points[::5], inputs[::5])
    with pytest.raises(NotImplementedError, match="targeted=False"):
        attack(model=model, inputs=inputs, labels=labels, targets=labels, targeted=True)
