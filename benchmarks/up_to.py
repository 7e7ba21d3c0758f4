"""What margins up to a distance save, and how often they differ from whole ones.

    OMP_NUM_THREADS=1 python benchmarks/up_to.py [--up-to 0.1 0.15] [--norm linf] [--seeds 2 3] [--nets convnet mlp]

Networks on digits, trained naturally and adversarially (L-inf 0.1): a convnet of width 16 and an MLP (64-32-32-10).
Rows that they were not trained on, right and wrong ones. Each estimator measures them whole and up to each distance. A
row is *missed* if it is marked as a bound though its whole margin is nearer. The tables stand in docs/margins.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from nets import STEPS, load_images, settle, train_briefly
from numpy.typing import NDArray
from rounds import print_conditions, print_table
from torch import Tensor, nn

from pumalib import ArchitectureSettings, build_model, deepfool_margins, fast_margins, refined_margins

ESTIMATORS: dict[str, Callable[..., Any]] = {
    "fast margin": fast_margins,
    "DeepFool": deepfool_margins,
    "refined": refined_margins,
}
TRAININGS = {"natural": 0.0, "adversarial": 0.1}


class Counts(NamedTuple):
    """Of one estimator, distance and network; [N] each.

    Attributes:
        bounded: rows that are marked.
        missed: of these, those whose whole margin is nearer.
        nearest: share of the distance at which a missed row lies; 1 where it is not missed.
        other: measured rows whose margin is not the whole one, by more than a millionth of the pixel scale.
        passes: up to the distance.
        whole: passes without it.
    """

    bounded: NDArray[np.bool_]
    missed: NDArray[np.bool_]
    nearest: NDArray[np.float64]
    other: NDArray[np.bool_]
    passes: NDArray[np.int64]
    whole: NDArray[np.int64]


def trained(net: str, epsilon: float, seed: int) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network and digits that it has not seen: a quarter of them, or for the MLP half."""
    images, labels = load_images(None)
    torch.manual_seed(seed)
    if net == "mlp":
        layers = (nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
        model: nn.Module = nn.Sequential(*layers)
    else:
        model = build_model(ArchitectureSettings(name=net, width=16), (8, 8, 1), 10, seed)
    steps, held_out = (1500, len(labels) // 2) if net == "mlp" else (STEPS[net], len(labels) // 4)
    train_briefly(model, images[:-held_out], labels[:-held_out], steps, epsilon)
    return model.requires_grad_(False), images[-held_out:], labels[-held_out:]


def compare(whole: Any, table: Any, up_to: float) -> Counts:
    """Hold margins up to a distance against whole ones."""
    length = np.abs(whole.margin).astype(np.float64)
    missed = table.bounded & whole.converged & (np.abs(whole.margin) < np.float32(up_to))
    return Counts(
        table.bounded,
        missed,
        np.where(missed, length / up_to, 1.0),
        ~table.bounded & (np.abs(table.margin - whole.margin) > 1e-6),
        table.forwards + table.backwards,
        whole.forwards + whole.backwards,
    )


def measure(net: str, training: str, chosen: argparse.Namespace) -> Iterator[tuple[str, float, Counts]]:
    """Yield the counts of each estimator and distance, over the networks of all seeds."""
    networks = [trained(net, TRAININGS[training], seed) for seed in chosen.seeds]
    for name, estimate in ESTIMATORS.items():
        wholes = [estimate(*network, norm=chosen.norm) for network in networks]
        for up_to in chosen.up_to:
            tables = [estimate(*network, norm=chosen.norm, up_to=up_to) for network in networks]
            parts = [compare(whole, table, up_to) for whole, table in zip(wholes, tables, strict=True)]
            yield name, up_to, Counts(*map(np.concatenate, zip(*parts, strict=True)))


def line(training: str, name: str, up_to: float, counts: Counts) -> list[str]:
    """Return the cells of one line."""
    passes, whole = float(counts.passes.mean()), float(counts.whole.mean())
    missed = int(counts.missed.sum())
    nearest = f"{counts.nearest.min():.2f}" if missed else "-"
    numbers = [f"{counts.bounded.mean():.0%}", f"{whole:.1f}", f"{passes:.1f}", f"{1 - passes / whole:.0%}"]
    return [
        training,
        name,
        f"{up_to:g}",
        *numbers,
        f"{missed} of {len(counts.missed)}",
        nearest,
        f"{counts.other.sum()}",
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--up-to", nargs="+", type=float, default=[0.1, 0.15], help="distances, pixel scale")
    arguments.add_argument("--norm", default="linf", choices=["linf", "l2"])
    arguments.add_argument("--seeds", nargs="+", type=int, default=[2, 3], help="of the networks")
    arguments.add_argument("--nets", nargs="+", default=["convnet", "mlp"], choices=["convnet", "mlp"])
    chosen = arguments.parse_args()
    settle(1)
    print_conditions()
    header = [
        "training",
        "estimator",
        "up to",
        "bounds",
        "passes, whole",
        "passes",
        "saved",
        "missed",
        "nearest",
        "other",
    ]
    for net in chosen.nets:
        print(f"\n{net}, {chosen.norm}, seeds {' '.join(map(str, chosen.seeds))}\n")
        print_table(
            header, [line(training, *found) for training in TRAININGS for found in measure(net, training, chosen)]
        )


if __name__ == "__main__":
    main()
