"""The front of distance against cost: our margins beside adversarial-library's minimum-norm attacks (adv-lib).

    OMP_NUM_THREADS=1 python benchmarks/front.py --out FOLDER [--tasks NAME ...] [--images FILE.npz] [--figure FILE.png]
    python benchmarks/front.py --out FOLDER --device cuda --steps 1000 --tasks ...      # on a GPU, longer trained

Rightly classified images of naturally and adversarially trained networks, L-inf. Each method is measured chunk by
chunk; what is measured lies in FOLDER and is not measured again, so the command may be stopped and goes on. It ends
with a table per network: AttackBench's optimality (Cina et al. 2025: the area under robust accuracy over distance, 1
for the best distance of all methods image by image, 0 for none), mean distance over the best, passes per image (forward
and backward, counted the same way for all). Peers run at the settings that AttackBench publishes, but for targeted
minimal APGD, which has no budget there: see `apgd_minimal`. C&W-inf is left out: without AttackBench's limit of passes
it takes tens of thousands. The tables stand in docs/margins.md.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from margins import Counted
from nets import STEPS, load_images, settle, train_briefly
from numpy.typing import NDArray
from rounds import print_conditions, print_table
from torch import Tensor, nn

from pumalib import ArchitectureSettings, build_model, deepfool_margins, fast_margins, refined_margins
from pumalib.reporting.figures import PAGE_WIDTH_INCHES, figure_style, new_figure, plain_log_ticks, save_figure
from pumalib.reporting.labels import LabelledPoint, place_labels

Floats = NDArray[np.float32]
Attack = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Maps a counted model, images and labels to points that should be across."""


@dataclass(frozen=True)
class Front:
    """A network to measure on.

    Attributes:
        source: `digits` or `images` (those of --images).
        net: architecture.
        epsilon: of its adversarial training; 0 is natural training.
        count: rightly classified images measured.
        chunk: images at once.
    """

    source: str
    net: str
    epsilon: float
    count: int
    chunk: int


TASKS = {
    "digits-convnet-natural": Front("digits", "convnet", 0.0, 300, 100),
    "digits-convnet-adversarial": Front("digits", "convnet", 0.1, 300, 100),
    "images-convnet-natural": Front("images", "convnet", 0.0, 300, 100),
    "images-convnet-adversarial": Front("images", "convnet", 0.03, 300, 100),
    "digits-resnet-18-natural": Front("digits", "resnet-18", 0.0, 100, 50),
    "digits-resnet-18-adversarial": Front("digits", "resnet-18", 0.1, 100, 50),
    "images-resnet-18-natural": Front("images", "resnet-18", 0.0, 100, 25),
    "images-resnet-18-adversarial": Front("images", "resnet-18", 0.03, 100, 25),
}


def adv_lib() -> ModuleType:
    """Return adv-lib's attacks. They import visdom, for plots not drawn here: an empty module stands for it."""
    sys.modules.setdefault("visdom", ModuleType("visdom"))
    return importlib.import_module("adv_lib.attacks")


def ours(estimate: Callable[..., Any], **options: Any) -> Attack:
    def run(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        return torch.from_numpy(estimate(model, images, labels, keep_adversarial=True, **options).adversarial_images)

    return run


def of_adv_lib(name: str, **options: Any) -> Attack:
    def run(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        points: Tensor = getattr(adv_lib(), name)(model, images.clone(), labels, **options)
        return points.detach()

    return run


def apgd_minimal(model: nn.Module, images: Tensor, labels: Tensor, *, search_steps: int, iterations: int) -> Tensor:
    """Search the least epsilon by halving, each tried by targeted APGD on all nine other classes.

    It starts at the largest distance that a short DeepFool finds (not counted), so that no halving is lost.
    """
    assert isinstance(model, Counted)
    largest = float(np.abs(deepfool_margins(model.model, images, labels).margin).max())
    points: Tensor = adv_lib().auto_pgd.minimal_apgd(
        model, images, labels, norm=float("inf"), max_eps=largest / 2, binary_search_steps=search_steps,
        targeted_version=True, n_iter=iterations, num_targets=9,
    )  # fmt: skip
    return points.detach()


INFINITY = float("inf")
AIM, AIM_PASSES = 0.01, 60
"""Optimality that may be lost, and passes: the lines of the figure."""
_LEAST = 4e-4
"""Optimality lost at the bottom of the figure; what loses less stands just above it."""
OURS, PEERS, ADV_LIB = "#0072b2", "#7a7a7a", " (adv-lib)"
SHORT = {
    "refined, 32 steps, 5 restarts": "refined, 32 steps",
    "DeepFool (adv-lib)": "DF",
    "trust region (adv-lib)": "TR",
    "trust region, adaptive (adv-lib)": "TR adaptive",
    "APGD-t, minimal (adv-lib)": "APGD-t",
}
"""Names in the figure."""
METHODS: dict[str, Attack] = {
    "DeepFool": ours(deepfool_margins),
    "fast margin": ours(fast_margins),
    "refined": ours(refined_margins),
    "refined, no restarts": ours(refined_margins, restarts=0),
    "refined, 32 steps, 5 restarts": ours(refined_margins, refinement_steps=32, restarts=5),
    "DeepFool (adv-lib)": of_adv_lib("df", steps=100, norm=INFINITY),
    "trust region (adv-lib)": of_adv_lib("tr", p=INFINITY, iter=100, eps=0.001, c=9),
    "trust region, adaptive (adv-lib)": of_adv_lib("tr", p=INFINITY, iter=100, eps=0.001, c=9, adaptive=True),
    "APGD-t, minimal (adv-lib)": partial(apgd_minimal, search_steps=12, iterations=20),
    "FMN (adv-lib)": of_adv_lib("fmn", norm=INFINITY, steps=1000, α_init=1.0, γ_init=0.05),
    "FAB (adv-lib)": of_adv_lib("fab", norm=INFINITY, n_iter=100, α_max=0.1, β=0.9, η=1.05),
    "PDPGD (adv-lib)": of_adv_lib("pdpgd", norm=INFINITY, num_steps=500),
}


def trained(name: str, chosen: argparse.Namespace) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network, kept in the folder once trained, and images that it has right, both on the device."""
    front, device = TASKS[name], torch.device(chosen.device)
    images, labels = (column.to(device) for column in load_images(None if front.source == "digits" else chosen.images))
    held_out = max(len(labels) // 4, 2 * front.count) if front.source == "images" else len(labels) // 4
    shape = (images.shape[2], images.shape[3], images.shape[1])
    settings = ArchitectureSettings(name=front.net, width=16 if front.net == "convnet" else None)
    torch.manual_seed(0)
    model, path = build_model(settings, shape, int(labels.max()) + 1).to(device), chosen.out / name / "model.pt"
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True, map_location=device))
        model.eval()
    else:
        steps = chosen.steps or STEPS[front.net]
        train_briefly(model, images[:-held_out], labels[:-held_out], steps, front.epsilon)
        save(path, lambda target: torch.save(model.state_dict(), target))
    model.requires_grad_(False)
    if front.net == "resnet-18" and front.source == "images":
        model = model.to(memory_format=torch.channels_last)  # a quarter less time on a CPU, the same function
    with torch.no_grad():
        right = torch.cat([model(part).argmax(1) for part in images[-held_out:].split(100)]) == labels[-held_out:]
    print(f"{name}: {right.float().mean():.1%} of {held_out} images right", flush=True)
    return model, images[-held_out:][right][: front.count], labels[-held_out:][right][: front.count]


def save(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)


def measure(
    attack: Attack, model: nn.Module, images: Tensor, labels: Tensor, right: Tensor | None = None
) -> dict[str, Floats]:
    """Return distances [N] (inf where not across), passes and seconds of one chunk; `right` [N]: None is all."""
    torch.manual_seed(0)
    clock = time.perf_counter if images.is_cuda else time.process_time
    counted, began = Counted(model).eval(), clock()
    points = attack(counted, images, labels).to(images.device)
    if images.is_cuda:
        torch.cuda.synchronize()
    seconds = clock() - began
    assert points.min() >= -1e-6
    assert points.max() <= 1 + 1e-6
    with torch.no_grad():
        across = (model(points).argmax(1) != labels) == (True if right is None else right)
    lengths = (points - images).flatten(1).abs().amax(1).masked_fill(~across, torch.inf)
    numbers = {"passes": counted.passes, "seconds": seconds}
    return {"distance": lengths.cpu().numpy()} | {
        name: np.asarray([value], np.float32) for name, value in numbers.items()
    }


def run_task(name: str, chosen: argparse.Namespace) -> int:
    """Measure what is not measured yet, chunk by chunk, the cheap methods first; return how many images there are."""
    noted = chosen.out / name / "count.txt"
    if noted.exists() and set(chosen.methods) <= set(gather(name, chosen.out, int(noted.read_text()))):
        return int(noted.read_text())
    model, images, labels = trained(name, chosen)
    save(noted, lambda target: target.write_text(str(len(images))))
    size = len(images) if images.is_cuda else TASKS[name].chunk
    for method in chosen.methods:
        for first in range(0, len(images), size):
            path = chosen.out / name / method / f"{first}.npz"
            if path.exists():
                continue
            part = measure(METHODS[method], model, images[first : first + size], labels[first : first + size])
            save(path, lambda target, part=part: _write(target, part))
            print(f"{name}, {method}, from {first}: {float(part['seconds'][0]):.0f} s", flush=True)
    return len(images)


def _write(path: Path, arrays: dict[str, Floats]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def area(distances: Floats, farthest: float) -> float:
    """Return the area under robust accuracy over distance up to the farthest: the mean of the clipped distances."""
    return float(np.minimum(distances, farthest).mean())


def optimality(distances: Floats, best: Floats) -> float:
    """Return AttackBench's optimality of an attack, with exact areas where it has trapezoids."""
    farthest = float(best.max())
    return 1 - (area(distances, farthest) - area(best, farthest)) / (farthest - area(best, farthest))


def gather(name: str, folder: Path, count: int) -> dict[str, tuple[Floats, float, float]]:
    """Return distances, passes per image and seconds per image of each method that was measured whole."""
    found = {}
    for method in METHODS:
        files = sorted((folder / name / method).glob("*.npz"), key=lambda path: int(path.stem))
        parts = [dict(np.load(path)) for path in files]
        distances = np.concatenate([part["distance"] for part in parts] or [np.empty(0, np.float32)])
        if len(distances) < count:
            continue
        sums = [sum(float(part[key][0]) for part in parts) / len(distances) for key in ("passes", "seconds")]
        found[method] = distances, sums[0], sums[1]
    return found


def report(name: str, folder: Path, count: int) -> list[tuple[str, float, float]]:
    """Print the table of a network; return method, passes and optimality."""
    found = gather(name, folder, count)
    if not found:
        return []
    best = np.minimum.reduce([distances for distances, _, _ in found.values()])
    rows, points = [], []
    for method, (distances, passes, seconds) in found.items():
        across = np.isfinite(distances)
        value, over = optimality(distances, best), distances[across].mean() / best[across].mean()
        points.append((method, passes, value))
        rows.append(
            [method, f"{value:.4f}", f"{over:.4f}", f"{across.mean():.1%}", f"{passes:.0f}", f"{1000 * seconds:.0f}"]
        )
    print(f"\n{name}: {len(best)} images, mean of the best distances {best.mean():.5f}\n")
    print_table(["method", "optimality", "mean distance / best", "across", "passes per image", "ms per image"], rows)
    return points


def draw(curves: dict[str, list[tuple[str, float, float]]], path: Path) -> None:
    """Draw what is lost of optimality against passes, a panel per network; both axes logarithmic."""
    with figure_style():
        rows = -(-len(curves) // 2)
        figure, panels = new_figure(PAGE_WIDTH_INCHES, 2.2 * rows, min(2, len(curves)), rows)
        for place, (axes, (name, points)) in enumerate(zip(panels, curves.items(), strict=False)):
            axes.set(xscale="log", yscale="log", title=name, xlim=(12, 9000), ylim=(_LEAST, 1))
            axes.set(xlabel="passes per image" if place + 2 >= len(curves) else "")
            axes.set(ylabel="" if place % 2 else "optimality lost")
            for axis in (axes.xaxis, axes.yaxis):
                plain_log_ticks(axis)
            axes.axhline(AIM, linestyle="--", linewidth=0.7, color="0.6", zorder=1)
            axes.axvline(AIM_PASSES, linestyle="--", linewidth=0.7, color="0.6", zorder=1)
            labels = []
            for method, passes, value in points:
                colour = PEERS if method.endswith(ADV_LIB) else OURS
                lost = max(1 - value, 1.25 * _LEAST)
                axes.plot(passes, lost, "s" if colour == PEERS else "o", color=colour, markersize=4.5, zorder=3)
                labels.append(LabelledPoint(SHORT.get(method, method.removesuffix(ADV_LIB)), colour, passes, lost))
            aims = [[(12, AIM), (9000, AIM)], [(AIM_PASSES, _LEAST), (AIM_PASSES, 1)]]
            place_labels(figure, axes, labels, faint_lines=aims)
    save_figure(figure, path, path.with_suffix(".svg"))


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--out", type=Path, required=True, help="folder of what was measured")
    arguments.add_argument("--images", default=os.environ.get("PUMA_BENCH_IMAGES"), metavar="FILE.npz")
    arguments.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    arguments.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    arguments.add_argument("--figure", type=Path)
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--steps", type=int, help="of training, instead of those of benchmarks/nets.py")
    chosen = arguments.parse_args()
    settle(1)
    print_conditions()
    tasks = [name for name in chosen.tasks if TASKS[name].source == "digits" or chosen.images]
    counts = {name: run_task(name, chosen) for name in tasks}
    curves = {name: points for name in tasks if (points := report(name, chosen.out, counts[name]))}
    if chosen.figure:
        draw(curves, chosen.figure)


if __name__ == "__main__":
    main()
