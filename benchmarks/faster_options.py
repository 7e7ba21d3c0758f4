"""Whether the faster options cost accuracy: short TRADES trainings with and without them, from the same seeds.

    python benchmarks/faster_options.py [--device cuda] [--images FILE.npz] [--nets resnet-18] [--epochs 10]

Each seed draws the network, and trains it twice: as the defaults do, and with the attack in bfloat16, channels last
and compiled. Clean and robust (C&W-PGD-20) accuracy on images not trained on, and the mean difference over the seeds
with its 95 % interval (Student's t); the table stands in docs/performance.md, with the date and the machine.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
import torch
from nets import load_images, parser
from rounds import print_conditions, print_table
from scipy import stats
from torch import Tensor
from trades_step import FASTER_OPTIONS

from pumalib import (
    ArchitectureSettings,
    CwPgdSettings,
    ThreatSettings,
    TradesSettings,
    TrainOptions,
    build_model,
    evaluate,
    train,
)

ATTACK = CwPgdSettings(method="cw_pgd", steps=20)
FASTER = {name: value for option in FASTER_OPTIONS for name, value in option.items()}


def accuracies(net: str, images: Tensor, labels: Tensor, seed: int, options: argparse.Namespace) -> list[list[float]]:
    """Return clean and robust accuracy in %, as the defaults train and with the faster options."""
    count = min(options.count, len(labels) // 4)
    pixels = (images[:-count].permute(0, 2, 3, 1) * 255).round().byte().numpy()
    threat = ThreatSettings(epsilon=options.epsilon)
    rows = []
    for faster in ({}, FASTER):
        shape = (images.shape[2], images.shape[3], images.shape[1])
        model = build_model(ArchitectureSettings(name=net), shape, int(labels.max()) + 1, seed=seed)
        recipe = TradesSettings(
            epochs=options.epochs, samples_per_epoch=len(pixels), batch_size=options.batch, learning_rate=0.1,
            crop_padding=0, horizontal_flip=False, history_every=options.epochs, **faster,
        )  # fmt: skip
        where = TrainOptions(seed=seed, device=options.device)
        trained = train(model, pixels, labels[:-count], settings=recipe, threat=threat, options=where)
        there = torch.device(options.device)
        reached = evaluate(trained.model, images[-count:].to(there), labels[-count:].to(there), ATTACK, threat=threat)
        rows.append([100 * reached.clean_accuracy, 100 * reached.robust_accuracy])
    return rows


def with_interval(differences: np.ndarray) -> str:
    """Return the mean of differences, one per seed, and its 95 % interval."""
    mean, count = differences.mean(), len(differences)
    if count < 2:
        return f"{mean:+.2f} (one seed)"
    half = stats.t.ppf(0.975, count - 1) * differences.std(ddof=1) / math.sqrt(count)
    return f"{mean:+.2f} [{mean - half:.2f}, {mean + half:.2f}]"


def main() -> None:
    arguments = parser(__doc__, ("small-cnn",), count=449, rounds=1)
    arguments.add_argument("--epsilon", type=float, default=0.1)
    arguments.add_argument("--epochs", type=int, default=10)
    arguments.add_argument("--batch", type=int, default=128)
    arguments.add_argument("--seeds", type=int, default=3)
    options = arguments.parse_args()
    torch.set_num_threads(options.threads)
    print_conditions()
    images, labels = load_images(options.images)
    table = []
    for net in options.nets:
        reached = np.array([accuracies(net, images, labels, seed, options) for seed in range(options.seeds)])
        for measure, name in enumerate(("clean", "robust")):
            plain, faster = reached[:, 0, measure], reached[:, 1, measure]
            table.append(
                [f"{net}, {name}", f"{plain.mean():.2f}", f"{faster.mean():.2f}", with_interval(faster - plain)]
            )
    print_table(["accuracy (%)", "defaults", "faster options", "difference"], table)


if __name__ == "__main__":
    main()
