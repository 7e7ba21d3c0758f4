"""The C&W-PGD-40 evaluation beside torchattacks' PGD-40 in one process.

    OMP_NUM_THREADS=1 python benchmarks/evaluation.py [--images FILE.npz]

Both give clean and robust accuracy on the same images: ours with `evaluate` (C&W margin loss, every wrong iterate
counts), the peer with two looks at the predictions around `torchattacks.PGD` (cross-entropy, the last iterate counts).
Twice a network: at the epsilon that leaves robust accuracy at the share asked for, and at one so small that nothing
is fooled, on rightly classified images. The tables stand in docs/performance.md, with the date and the machine.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
import torchattacks
from nets import Task, parser, prepare, rightly_classified, settle
from rounds import clock, print_conditions, print_table, ratio

from pumalib import CwPgdSettings, ThreatSettings, evaluate, refined_margins

STEPS = 40
HARMLESS = 1e-5


class Accuracies(NamedTuple):
    """Shares of the images rightly classified, clean and under attack."""

    clean: float
    robust: float


def ours(task: Task, epsilon: float) -> Accuracies:
    attack = CwPgdSettings(method="cw_pgd", steps=STEPS)
    table = evaluate(task.model, task.images, task.labels, attack, threat=ThreatSettings(epsilon=epsilon))
    return Accuracies(table.clean_accuracy, table.robust_accuracy)


def of_torchattacks(task: Task, epsilon: float) -> Accuracies:
    attack = torchattacks.PGD(task.model, eps=epsilon, alpha=epsilon / 4, steps=STEPS)
    points = attack(task.images, task.labels)
    with torch.no_grad():
        right = [task.model(images).argmax(1) == task.labels for images in (task.images, points)]
    return Accuracies(float(right[0].float().mean()), float((right[0] & right[1]).float().mean()))


def epsilon_at(task: Task, share: float) -> float:
    """Return the epsilon within which this share of all images is not fooled, as refined margins say."""
    margins = refined_margins(task.model, task.images, task.labels).margin
    if share >= (margins > 0).mean():
        raise SystemExit(
            f"expected a share below the clean accuracy, {(margins > 0).mean():.3f}, got {share}; lower --share"
        )
    return float(np.quantile(margins, 1 - share))


def compare(title: str, task: Task, epsilon: float, rounds: int) -> list[str]:
    """Return a row of the table."""
    reached: dict[str, Accuracies] = {}

    def run(name: str, attack: Callable[[Task, float], Accuracies]) -> None:
        reached[name] = attack(task, epsilon)

    few = task._replace(images=task.images[:4], labels=task.labels[:4])
    methods = {"ours": ours, "theirs": of_torchattacks}
    for attack in methods.values():
        attack(few, epsilon)
    times = clock({name: partial(run, name, attack) for name, attack in methods.items()}, rounds)
    accuracies = [f"{reached[name].robust:.3f}" for name in methods]
    ratios = [ratio(*pair) for pair in zip(times["theirs"], times["ours"], strict=True)]
    return [title, f"{reached['ours'].clean:.3f}", *accuracies, f"{min(times['ours'].process):.2f}", *ratios]


def main() -> None:
    arguments = parser(__doc__, ("convnet", "resnet-18"), count=200, rounds=5)
    arguments.add_argument("--epsilon", type=float, default=0.1, help="of the training")
    arguments.add_argument("--share", type=float, default=0.4, help="robust accuracy wanted in the first comparison")
    options = arguments.parse_args()
    settle(options.threads)
    warnings.simplefilter("ignore")  # the peer's own
    print_conditions("torchattacks")
    rows = []
    for net in options.nets:
        task = prepare(net, options, options.epsilon)
        size = f"{len(task.images)} images, {options.rounds} rounds"
        rows.append(compare(f"{net}, {size}", task, epsilon_at(task, options.share), options.rounds))
        rows.append(compare(f"{net}, nothing fooled", rightly_classified(task), HARMLESS, options.rounds))
    header = ["network", "clean", "robust, C&W", "robust, torchattacks", "CPU s, ours"]
    print_table([*header, "torchattacks' time / ours, wall", "the same, CPU"], rows)


if __name__ == "__main__":
    main()
