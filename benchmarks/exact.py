"""L-inf margins against exact ones: how much too long each estimator's distances are.

    OMP_NUM_THREADS=1 python benchmarks/exact.py --out FOLDER [--rows 200] [--seed 0]

Two ReLU networks on digits (64-32-32-10), trained naturally and adversarially, and rows held out from them: all that
the network has wrong, at most a quarter, and rightly classified ones. The exact distance of each row is the optimum of
a mixed-integer program (Tjeng et al. 2019), solved by SciPy's HiGHS with the refined margin as its upper bound. What
is solved lies in FOLDER and is not solved again. Rows that reach the time limit are told, with their gap. The table
stands in docs/margins.md.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from front import METHODS, measure
from nets import load_images, settle, train_briefly
from numpy.typing import NDArray
from relu_program import Layers, exact_distance, layers_of
from rounds import print_conditions, print_table
from torch import Tensor, nn

from pumalib import refined_margins

EPSILONS = {"natural": 0.0, "adversarial": 0.1}
SHARE_WRONG = 4
SHOWN = ("fast margin", "DeepFool", "refined, no restarts", "refined", "refined, 32 steps, 5 restarts")


@dataclass(frozen=True)
class Solved:
    """The exact distance of a row.

    Attributes:
        row: place among the rows held out.
        right: whether the network has it right.
        distance: of the nearest point found across; the optimum, where `lower` reaches it.
        lower: bound below all points across.
        seconds: of solving.
    """

    row: int
    right: bool
    distance: float
    lower: float
    seconds: float


def trained(name: str, seed: int) -> tuple[nn.Sequential, Tensor, Tensor]:
    """Return a network and the half of the digits that it has not seen."""
    images, labels = load_images(None)
    half = len(labels) // 2
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
    )  # fmt: skip
    train_briefly(model, images[:half], labels[:half], 1500, EPSILONS[name])
    return model.requires_grad_(False), images[half:], labels[half:]


def chosen_rows(model: nn.Module, images: Tensor, labels: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the rows to solve [count] and which of them the network has right."""
    right = model(images).argmax(1) == labels
    wrong_rows, right_rows = torch.nonzero(~right).squeeze(1), torch.nonzero(right).squeeze(1)
    wrong_rows = wrong_rows[: count // SHARE_WRONG]
    rows = torch.cat([right_rows[: count - len(wrong_rows)], wrong_rows])
    return rows, right[rows]


def solve(name: str, seed: int, count: int, folder: Path, seconds: float) -> list[Solved]:
    """Solve what is not solved yet, row by row."""
    model, images, labels = trained(name, seed)
    path = folder / f"{name}-{seed}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = path.read_text().splitlines() if path.exists() else []
    known = {one.row: one for one in (Solved(**json.loads(line)) for line in lines)}
    rows, right = chosen_rows(model, images, labels, count)
    bounds = np.abs(refined_margins(model, images[rows], labels[rows]).margin.astype(np.float64))
    layers: Layers = layers_of(model)
    with path.open("a") as file:
        for row, is_right, bound in zip(rows.tolist(), right.tolist(), bounds, strict=True):
            if row in known:
                continue
            began = time.process_time()
            pixels: NDArray[np.float64] = images[row].flatten().double().numpy()
            found = exact_distance(layers, pixels, int(labels[row]), is_right, float(bound), seconds)
            known[row] = Solved(row, is_right, *found, time.process_time() - began)
            file.write(json.dumps(asdict(known[row])) + "\n")
            file.flush()
    return [known[row] for row in rows.tolist()]


def report(name: str, seed: int, solved: list[Solved], methods: list[str]) -> None:
    """Print how much too long each estimator is, over the rows that are solved."""
    model, images, labels = trained(name, seed)
    rows = torch.tensor([one.row for one in solved])
    truth, right = np.array([one.distance for one in solved]), np.array([one.right for one in solved])
    gaps = np.array([(one.distance - one.lower) / one.distance for one in solved])
    seconds = np.array([one.seconds for one in solved])
    open_rows = int((gaps > 1e-3).sum())
    print(
        f"\n{name}, seed {seed}: {len(rows)} rows, {int((~right).sum())} of them wrong; {open_rows} not closed, "
        f"largest gap {gaps.max():.2%}; {np.median(seconds):.1f} s per row (median), {seconds.sum():.0f} s in all\n"
    )
    table = []
    for method in methods:
        found = measure(METHODS[method], model, images[rows], labels[rows], right=torch.from_numpy(right))
        excess = found["distance"] / truth - 1
        cells = [f"{100 * value:+.2f} %" for mask in (right, ~right) for value in summary(excess[mask])]
        table.append([method, *cells, f"{float(found['passes'][0]) / len(rows):.0f}"])
    header = [f"{what}, {which}" for which in ("right", "wrong") for what in ("mean", "95th percentile", "largest")]
    print_table(["method", *header, "passes per image"], table)


def summary(excess: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return mean, 95th percentile and maximum."""
    return float(excess.mean()), float(np.quantile(excess, 0.95)), float(excess.max())


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--out", type=Path, required=True, help="folder of what was solved")
    arguments.add_argument("--rows", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=0, help="of the networks")
    arguments.add_argument("--seconds", type=float, default=60.0, help="limit of one program")
    arguments.add_argument("--nets", nargs="+", default=list(EPSILONS), choices=list(EPSILONS))
    arguments.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(SHOWN))
    chosen = arguments.parse_args()
    settle(1)
    print_conditions("scipy")
    for name in chosen.nets:
        solved = solve(name, chosen.seed, chosen.rows, chosen.out, chosen.seconds)
        report(name, chosen.seed, solved, chosen.methods)


if __name__ == "__main__":
    main()
