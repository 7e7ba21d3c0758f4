"""Margins beside the peers' in one process: how long they are, and what they cost.

    OMP_NUM_THREADS=1 python benchmarks/margins.py [speed] [quality] [--images FILE.npz] [--figure FILE.png]

`speed`: DeepFool against foolbox's, as called (10 candidates, weights that ask for gradients) and tuned (5 candidates,
frozen weights). `quality`: DeepFool, the fast margin, refined margins and those at several budgets without restarts
against FMN (foolbox) and FAB (torchattacks), all with frozen weights; passes are forward and backward ones of an
image, counted. Peers that are not installed are left out; `quality` needs foolbox. Rightly classified images, L-inf,
mean margins of points seen to be across. The tables stand in docs/performance.md, with the date and the machine.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from nets import Task, parser, prepare, rightly_classified, settle
from rounds import Clocked, clock, print_conditions, print_table, ratio
from torch import Tensor, nn

from pumalib import deepfool_margins, fast_margins, refined_margins
from pumalib.reporting.colours import run_styles
from pumalib.reporting.figures import (
    COLUMN_WIDTH_INCHES,
    PAGE_WIDTH_INCHES,
    figure_style,
    legend_columns,
    new_figure,
    save_figure,
)

BUDGETS = (2, 4, 8, 16, 32)
DEEPFOOL, OURS, REFERENCE = "DeepFool", "DeepFool, refined", "FMN, 100 steps (foolbox)"
Method = Callable[[Task, nn.Module], Tensor]
"""Maps a task and its model, counted, to points [N, ...] that should be across the boundary."""


class Counted(nn.Module):
    """A model that counts the images that go through it, either way."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.passes = model, 0

    def forward(self, images: Tensor) -> Tensor:
        """Count, and pass on."""
        self.passes += len(images)
        if images.requires_grad:
            images = images.view_as(images)
            images.register_hook(self._count_backward)
        logits: Tensor = self.model(images)
        return logits

    def _count_backward(self, gradient: Tensor) -> None:
        self.passes += len(gradient)


class Measured(NamedTuple):
    """What a method reached: mean margin, share of images seen to be across, passes per image, seconds; images per
    second of processor time (on a GPU of wall-clock time), in the fastest round."""

    margin: float
    crossed: float
    passes: float
    times: Clocked
    rate: float


def ours(estimate: Callable[..., Any], **options: Any) -> Method:
    def attack(task: Task, model: nn.Module) -> Tensor:
        table = estimate(model, task.images, task.labels, keep_adversarial=True, **options)
        return torch.from_numpy(table.adversarial_images).to(task.images)

    return attack


def of_foolbox(name: str, **options: Any) -> Method:
    def run(task: Task, model: nn.Module) -> Tensor:
        import foolbox

        attack = getattr(foolbox.attacks, name)(**options)
        peer = foolbox.PyTorchModel(model, bounds=(0, 1), device=task.images.device)
        points: Tensor = attack(peer, task.images, task.labels, epsilons=None)[1]
        return points.detach()

    return run


def of_torchattacks(steps: int) -> Method:
    def run(task: Task, model: nn.Module) -> Tensor:
        import torchattacks

        num_classes = int(model(task.images[:1]).shape[1])
        attack = torchattacks.FAB(model, norm="Linf", eps=1.0, steps=steps, n_classes=num_classes)
        points: Tensor = attack(task.images, task.labels)
        return points.detach()

    return run


def frozen(method: Method) -> Method:
    def run(task: Task, model: nn.Module) -> Tensor:
        model.requires_grad_(False)
        points = method(task, model)
        model.requires_grad_(True)
        return points

    return run


def measure(task: Task, methods: dict[str, Method], rounds: int) -> dict[str, Measured]:
    """Run every method in interleaved rounds and verify the points of the last."""
    model, points, passes = Counted(task.model).eval(), {}, {}
    few = task._replace(images=task.images[:4], labels=task.labels[:4])

    def run(name: str) -> None:
        before = model.passes
        points[name] = methods[name](task, model)
        passes[name] = (model.passes - before) / len(task.images)

    for method in methods.values():  # imports, and the choice of kernels
        method(few, model)
    times = clock({name: partial(run, name) for name in methods}, rounds)
    return {name: verified(task, points[name], passes[name], times[name]) for name in methods}


@torch.no_grad()
def verified(task: Task, points: Tensor, passes: float, times: Clocked) -> Measured:
    assert points.min() >= 0
    assert points.max() <= 1
    across = task.model(points).argmax(1) != task.labels
    lengths = (points - task.images).flatten(1).abs().amax(1)
    seconds = times.process if task.images.device.type == "cpu" else times.wall
    rate = len(task.images) / min(seconds)
    return Measured(float(lengths[across].mean()), float(across.float().mean()), passes, times, rate)


def print_results(title: str, results: dict[str, Measured], unit: str, is_peer_first: bool) -> None:
    """Print a row per method; ratios of times to the unit's, or of the unit's to each."""
    reference = results[unit].times
    rows = []
    for name, result in results.items():
        pairs = [(result.times.wall, reference.wall), (result.times.process, reference.process)]
        ratios = [ratio(*pair) if is_peer_first else ratio(*pair[::-1]) for pair in pairs]
        cells = [
            f"{result.margin:.5f}",
            f"{result.crossed:.1%}",
            f"{result.passes:.1f}",
            f"{result.rate:.1f}",
        ]
        rows.append([name, *cells, *ratios])
    compared = f"time / that of {unit}" if is_peer_first else f"time of {unit} / time"
    print(f"\n{title}\n")
    header = ["method", "mean margin", "across", "passes per image", "images / s", f"{compared}, wall", "the same, CPU"]
    print_table(header, rows)


def speed(task: Task, rounds: int) -> None:
    methods = {DEEPFOOL: ours(deepfool_margins)}
    if importlib.util.find_spec("foolbox"):
        methods |= {
            "foolbox as called": of_foolbox("LinfDeepFoolAttack", steps=50),
            "foolbox tuned": frozen(of_foolbox("LinfDeepFoolAttack", steps=50, candidates=5)),
        }
    title = f"{task.name}, {len(task.images)} images, {rounds} rounds"
    print_results(title, measure(task, methods, rounds), DEEPFOOL, is_peer_first=True)


def quality(task: Task, rounds: int) -> dict[str, Measured]:
    peers = {f"FMN, {steps} steps (foolbox)": of_foolbox("LInfFMNAttack", steps=steps) for steps in (30, 100)}
    if importlib.util.find_spec("torchattacks"):
        peers |= {f"FAB, {steps} steps (torchattacks)": of_torchattacks(steps) for steps in (5, 10)}
    methods = {
        DEEPFOOL: ours(deepfool_margins),
        "fast margin": ours(fast_margins),
        "refined": ours(refined_margins),
        **{f"refined, {steps} steps": ours(refined_margins, refinement_steps=steps, restarts=0) for steps in BUDGETS},
        **{name: frozen(method) for name, method in peers.items()},
    }
    results = measure(task, methods, rounds)
    print_results(f"{task.name}, {len(task.images)} images, {rounds} rounds", results, REFERENCE, is_peer_first=False)
    return results


def draw(curves: dict[str, dict[str, Measured]], path: Path) -> None:
    """Draw mean margin against passes, a panel per network."""
    width = COLUMN_WIDTH_INCHES if len(curves) == 1 else PAGE_WIDTH_INCHES
    with figure_style():
        figure, panels = new_figure(width, 3.2, len(curves))
        for axes, (net, results) in zip(panels, curves.items(), strict=True):
            line = [result for name, result in results.items() if name == DEEPFOOL or name.startswith("refined, ")]
            others = {name: result for name, result in results.items() if result not in line}
            styles = run_styles([OURS, *others])
            axes.plot(
                [point.passes for point in line],
                [point.margin for point in line],
                color=styles[OURS].colour,
                marker=styles[OURS].marker,
                markersize=4.5,
                label=OURS,
            )
            for name, result in others.items():
                style = styles[name]
                axes.plot(result.passes, result.margin, style.marker, color=style.colour, markersize=6, label=name)
            axes.set(
                xscale="log", xticks=[20, 50, 100, 200], xlabel="passes per image, forward and backward", title=net
            )
            axes.minorticks_off()
            axes.xaxis.set_major_formatter("{x:g}")
            axes.grid(True)
        panels[0].set_ylabel("mean margin (L-inf, pixel scale)")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=legend_columns(labels, width, 3))
    save_figure(figure, path, path.with_suffix(".svg"))


def main() -> None:
    arguments = parser(__doc__, ("convnet", "resnet-18"), count=150, rounds=3)
    arguments.add_argument("parts", nargs="*", default=["speed", "quality"], help="speed, quality")
    arguments.add_argument("--epsilon", type=float, default=0.1, help="of the training")
    arguments.add_argument(
        "--figure", metavar="FILE.png", type=Path, help="where to draw what quality cost, also as SVG"
    )
    options = arguments.parse_args()
    settle(options.threads)
    warnings.simplefilter("ignore")  # the peers' own
    print_conditions(*(peer for peer in ("foolbox", "torchattacks") if importlib.util.find_spec(peer)))
    curves = {}
    for net in options.nets:
        task = rightly_classified(prepare(net, options, options.epsilon))
        if "speed" in options.parts:
            speed(task, options.rounds)
        if "quality" in options.parts:
            curves[net] = quality(task, options.rounds)
    if curves and options.figure:
        draw(curves, options.figure)


if __name__ == "__main__":
    main()
