"""What screening in bfloat16 saves of an evaluation: images that pass the network in float32, and time.

    OMP_NUM_THREADS=1 python benchmarks/screening.py [--device cuda] [--images FILE.npz]

C&W-PGD with 40 steps, with and without `screening: bfloat16`, on the same images at the epsilons that leave each robust
accuracy asked for. Passes are forward passes of one image, by precision. The table stands in docs/performance.md, with
the date and the machine: passes in float32 are saved everywhere, time only where bfloat16 is faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from nets import Task, parser, prepare, settle
from rounds import clock, print_conditions, print_table, ratio
from torch import nn

from pumalib import CwPgdSettings, ThreatSettings, evaluate, refined_margins
from pumalib.evaluation.evaluate import EvaluationTable

PLAIN, SCREENED = CwPgdSettings(), CwPgdSettings(screening="bfloat16")


def attacked(task: Task, epsilon: float, attack: CwPgdSettings) -> EvaluationTable:
    return evaluate(task.model, task.images, task.labels, attack, threat=ThreatSettings(epsilon=epsilon))


@contextmanager
def counting(task: Task) -> Iterator[dict[bool, int]]:
    """Count the images that pass forward, by whether that is in bfloat16."""
    passes = {False: 0, True: 0}

    def count(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        passes[torch.is_autocast_enabled(given[0].device.type)] += len(given[0])

    handle = task.model.register_forward_pre_hook(count)
    try:
        yield passes
    finally:
        handle.remove()


def compare(title: str, task: Task, epsilon: float, rounds: int) -> list[str]:
    """Return a row of the table."""
    with counting(task) as plain:
        alone = attacked(task, epsilon, PLAIN)
    with counting(task) as screened:
        both = attacked(task, epsilon, SCREENED)
    if (alone.success & ~both.success).any():
        raise SystemExit("expected every image that float32 alone fools to be fooled with screening, got others")
    methods = {"plain": PLAIN, "screened": SCREENED}
    times = clock({name: partial(attacked, task, epsilon, attack) for name, attack in methods.items()}, rounds)
    return [
        title,
        *(f"{table.robust_accuracy:.3f}" for table in (alone, both)),
        *(f"{count:,}" for count in (plain[False], screened[False], screened[True])),
        f"{1 - screened[False] / plain[False]:.1%}",
        *(ratio(*pair) for pair in zip(times["screened"], times["plain"], strict=True)),
    ]


def main() -> None:
    arguments = parser(__doc__, ("convnet", "resnet-18"), count=200, rounds=3)
    arguments.add_argument("--epsilon", type=float, default=0.1, help="of the training")
    arguments.add_argument("--shares", type=float, nargs="+", default=[0.6, 0.3, 0.05], help="robust accuracies")
    options = arguments.parse_args()
    settle(options.threads)
    print_conditions()
    rows = []
    for net in options.nets:
        task = prepare(net, options, options.epsilon)
        margins = refined_margins(task.model, task.images, task.labels).margin
        for share in options.shares:
            epsilon = max(float(np.quantile(margins, 1 - share)), 1e-3)
            title = f"{net}, {len(task.images)} images, epsilon {epsilon:.3f}"
            rows.append(compare(title, task, epsilon, options.rounds))
    passes = ["passes in float32, alone", "with screening", "and in bfloat16", "saved in float32"]
    robust = ["robust, float32 alone", "with screening"]
    print_table(["network", *robust, *passes, "time with / without, wall", "the same, CPU"], rows)


if __name__ == "__main__":
    main()
