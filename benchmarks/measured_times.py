"""Measure on a GPU the pieces that `predicted_times.py` predicts, and the rates that it assumes.

    python benchmarks/measured_times.py --device cuda [--nets resnet-18 wrn-28-10] [--steps 4] [--rounds 3]

Untrained networks and noise of 32 x 32 pixels, as there. The medians of the rounds after a first one; a search that
took other passes than the typical ones of `puma plan` is scaled to them. A piece that does not fit the device says so.
The tables stand in docs/predicted-times.md, with the date and the device.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from nets import settle
from rounds import print_conditions, print_table
from torch import Tensor, nn
from trades_step import our_steps

from pumalib import (
    ArchitectureSettings,
    CwPgdSettings,
    ThreatSettings,
    build_model,
    deepfool_margins,
    evaluate,
)
from pumalib.jobs.devices import ran_out_of_memory, use_precision
from pumalib.planning.typical import attack_passes, margin_passes
from pumalib.scores.settings import DeepfoolSettings

TRAINED, LOOKED_AT = 512, 500
TINY_EPSILON = 1e-6
PLANNED = {"averaging": 0.995, "averaging_warmup": 0.0, "crop_padding": 4, "horizontal_flip": True}
"""What the predicted step does and a plain loop does not."""
FORMS = {
    "float32": (False, {}),
    "tf32": (True, {"channels_last": True}),
    "bfloat16 attack, float32 else": (False, {"channels_last": True, "attack_precision": "bfloat16"}),
    "bfloat16 attack, tf32 else": (True, {"channels_last": True, "attack_precision": "bfloat16"}),
}
"""Whether products of float32 are in TF32, and the options of the training."""


def seconds_of(run: Callable[[], object], rounds: int, device: torch.device) -> float:
    """Return the median time of some rounds; a first one warms up."""
    found = []
    for _ in range(rounds + 1):
        synchronize(device)
        began = time.perf_counter()
        run()
        synchronize(device)
        found.append(time.perf_counter() - began)
    return statistics.median(found[1:])


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def print_rates(device: torch.device, rounds: int) -> None:
    """Print what a large copy, products in each precision and small operations reach."""
    rows, side = [], 8192 if device.type == "cuda" else 256
    source = torch.rand(side * side * 8, device=device)
    target = torch.empty_like(source)
    taken = seconds_of(lambda: target.copy_(source), rounds, device)
    rows.append(
        [f"copy of {source.nbytes / 1e9:.1f} GB, read and written", f"{2 * source.nbytes / taken / 1e12:.2f} TB/s"]
    )
    for name, dtype in (("float32", torch.float32), ("tf32", torch.float32), ("bfloat16", torch.bfloat16)):
        factor = torch.randn(side, side, device=device, dtype=dtype)
        use_precision(tf32=name == "tf32")
        taken = seconds_of(lambda factor=factor: factor @ factor, rounds, device)
        rows.append([f"product of two {side} x {side}, {name}", f"{2 * side**3 / taken / 1e12:.0f} TFLOP/s"])
    use_precision(tf32=False)
    small = torch.zeros(1, device=device)
    taken = seconds_of(lambda: [small.add_(1) for _ in range(10_000)], rounds, device)
    rows.append(["operation on one number, 10,000 in a row", f"{taken * 100:.1f} us"])
    print_table(["rate", "reached"], rows)


@contextmanager
def products_in(tf32: bool) -> Iterator[None]:
    use_precision(tf32)
    try:
        yield
    finally:
        use_precision(False)


def training_step(net: str, form: str, chosen: argparse.Namespace) -> tuple[float, str]:
    """Return the time of a step of TRADES, and how many steps were timed."""
    (tf32, options), device = FORMS[form], torch.device(chosen.device)
    generator = torch.Generator().manual_seed(0)
    rows = chosen.rows or TRAINED
    images = torch.rand(2 * rows, 3, 32, 32, generator=generator)
    labels = torch.randint(10, (len(images),), generator=generator)
    with products_in(tf32):
        epoch = our_steps(network(net, device), images, labels, rows, chosen.steps, device, {**PLANNED, **options})
        seconds = seconds_of(epoch, chosen.rounds, device) / chosen.steps
    return seconds, f"{rows / seconds:,.0f} images / s"


def network(net: str, device: torch.device) -> nn.Module:
    return build_model(ArchitectureSettings(name=net), (32, 32, 3), 10).to(device).eval()


def noise(net: nn.Module, rows: int, device: torch.device) -> tuple[Tensor, Tensor]:
    images = torch.rand(rows, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.no_grad():
        return images, torch.cat([net(part).argmax(1) for part in images.split(100)])


def margins(net: str, form: str, chosen: argparse.Namespace) -> tuple[float, str]:
    """Return the time of a batch of DeepFool, all rightly classified, at the typical passes."""
    device = torch.device(chosen.device)
    model = network(net, device)
    images, labels = noise(model, chosen.rows or LOOKED_AT, device)
    typical, taken = margin_passes(DeepfoolSettings(model="margins")) or 0.0, []

    def run() -> None:
        table = deepfool_margins(model, images, labels)
        taken.append(float(np.mean(table.forwards + table.backwards)))

    with products_in(FORMS[form][0]):
        seconds = seconds_of(run, chosen.rounds, device)
    return seconds * typical / taken[-1], f"{taken[-1]:.1f} passes took {1e3 * seconds:.0f} ms"


def attack(net: str, form: str, chosen: argparse.Namespace) -> tuple[float, str]:
    """Return the time of a batch of C&W-PGD-40 that all images withstand."""
    device = torch.device(chosen.device)
    model = network(net, device)
    images, labels = noise(model, chosen.rows or LOOKED_AT, device)
    settings, threat, robust = CwPgdSettings(), ThreatSettings(epsilon=TINY_EPSILON), []

    def run() -> None:
        robust.append(evaluate(model, images, labels, settings, threat=threat).robust_accuracy)

    with products_in(FORMS[form][0]):
        seconds = seconds_of(run, chosen.rounds, device)
    return seconds, f"{robust[-1]:.1%} withstand {attack_passes(settings):.0f} passes"


PIECES = {
    f"TRADES step, {TRAINED}": (training_step, tuple(FORMS)),
    f"DeepFool, {LOOKED_AT}": (margins, ("float32", "tf32")),
    f"C&W-PGD-40, {LOOKED_AT}": (attack, ("float32", "tf32")),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--nets", nargs="+", default=["resnet-18", "wrn-28-10"])
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--steps", type=int, default=4, help="of a training, a round")
    arguments.add_argument("--rows", type=int, help="of each piece, instead of those in its name")
    arguments.add_argument("--device", default="cuda")
    chosen = arguments.parse_args()
    device = torch.device(chosen.device)
    settle(1)
    print_conditions()
    print_rates(device, chosen.rounds)
    rows = []
    for net in chosen.nets:
        for name, (piece, forms) in PIECES.items():
            for form in forms:
                cells = measured(piece, net, form, chosen)
                rows.append([net, name, form, *cells])
                print(*rows[-1], flush=True)
    print_table(["network", "piece, rows", "precision", "measured", "peak memory", "how"], rows)


Measure = Callable[[str, str, argparse.Namespace], tuple[float, str]]


def measured(piece: Measure, net: str, form: str, chosen: argparse.Namespace) -> list[str]:
    """Return the time, the memory and the remark of a piece, or that it does not fit."""
    is_cuda = torch.device(chosen.device).type == "cuda"
    if is_cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        seconds, how = piece(net, form, chosen)
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
        return ["does not fit", "", ""]
    peak = f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB" if is_cuda else ""
    return [f"{1e3 * seconds:,.0f} ms", peak, how]


if __name__ == "__main__":
    main()
