"""A TRADES step beside a plain loop written from the published recipe, in one process.

    OMP_NUM_THREADS=1 python benchmarks/trades_step.py [--device cuda] [--faster] [--peak TFLOP/S]

The plain loop (Zhang et al. 2019): PGD-10 on the KL from a start near the image, in eval mode, one loss per batch, then
cross-entropy plus beta KL, a backward pass and a step of SGD; the clean prediction is taken once, not in every step of
the attack as in the authors' code. As we attack with the statistics of the batch (Wang et al. 2023), which costs more
than eval mode, the loop runs that way as well, and ours in eval mode (`attack_statistics: running`); ratios are of one
mode. Ours: a step of `Trainer`, same model, batch, steps and optimiser; it takes the clean prediction from the forward
that trains where the attack has the statistics of the batch, and folds BatchNorm where it is in eval mode.
No crops, flips or weight average on either side. On a GPU both sides run in float32 and in TF32.
`--faster` adds our faster options one by one, in float32 where they say nothing else. Images per second, and with
`--peak` the share that the operations of a plain step have of so many TFLOP/s. The tables stand in docs/performance.md,
with the date and the machine.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from nets import load_images, parser, settle
from rounds import clock, print_conditions, print_table, ratio
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pumalib import ArchitectureSettings, ThreatSettings, TradesSettings, build_model
from pumalib.training.recipe import Recipe
from pumalib.training.rows import TrainingRows
from pumalib.training.trainer import Trainer

BETA, ATTACK_STEPS, LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 6.0, 10, 0.1, 0.9, 5e-4
EPSILON = 0.1
PLAIN, WITH_STATISTICS = "plain loop", "plain loop, attack with batch statistics"
OURS, OURS_IN_EVAL_MODE, IN_TF32 = "ours", "ours, attack in eval mode", ", TF32"
FASTER = ("attack in bfloat16", "and channels last", "and compiled")
FASTER_OPTIONS = ({"attack_precision": "bfloat16"}, {"channels_last": True}, {"compile": True})


def plain_loss(model: nn.Module, images: Tensor, labels: Tensor, in_eval_mode: bool) -> Tensor:
    """Return the TRADES loss of a batch, as published but for the mode of the attack where asked."""
    model.train(not in_eval_mode)
    attacked = (images + 0.001 * torch.randn_like(images)).detach()
    fixed = F.softmax(model(images).detach(), 1)
    for _ in range(ATTACK_STEPS):
        attacked.requires_grad_()
        loss = F.kl_div(F.log_softmax(model(attacked), 1), fixed, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, attacked)
        attacked = attacked.detach() + EPSILON / 4 * gradient.sign()
        attacked = torch.min(torch.max(attacked, images - EPSILON), images + EPSILON).clamp(0, 1)
    model.train()
    logits = model(images)
    robust = F.kl_div(F.log_softmax(model(attacked), 1), F.softmax(logits, 1), reduction="batchmean")
    return F.cross_entropy(logits, labels) + BETA * robust


def plain_steps(
    model: nn.Module, images: Tensor, labels: Tensor, batch_size: int, in_eval_mode: bool
) -> Callable[[int], None]:
    """Return a function that trains so many steps; images are on the device, as float32 [N, C, H, W]."""
    optimizer = torch.optim.SGD(
        model.parameters(), LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    batches = endless_batches(len(images), batch_size, images.device)

    def run(count: int) -> None:
        for _ in range(count):
            rows = next(batches)
            optimizer.zero_grad()
            plain_loss(model, images[rows], labels[rows], in_eval_mode).backward()
            optimizer.step()

    return run


def endless_batches(count: int, batch_size: int, device: torch.device) -> Iterator[Tensor]:
    while True:
        yield from torch.randperm(count, device=device).split(batch_size)[: count // batch_size]


def our_steps(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    batch_size: int,
    count: int,
    device: torch.device,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Callable[[], None]:
    """Return a function that trains one epoch of so many steps, with other options of the recipe."""
    pixels = (images.cpu().permute(0, 2, 3, 1) * 255).round().byte().numpy()
    settings = TradesSettings(**{
        "beta": BETA, "epochs": 1000, "samples_per_epoch": count * batch_size, "batch_size": batch_size,
        "learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "weight_decay": WEIGHT_DECAY, "schedule": "constant",
        "label_smoothing": 0.0, "averaging": 0.0, "attack_steps": ATTACK_STEPS, "crop_padding": 0,
        "horizontal_flip": False, **options,
    })  # fmt: skip
    rows = np.arange(len(pixels))
    epsilons = np.full(len(rows), EPSILON, np.float32)
    data = TrainingRows(pixels, labels.cpu().numpy(), np.zeros(len(rows), np.uint8), rows, epsilons, pixels.shape[1:])
    trainer = Trainer(model, data, Recipe(settings, ThreatSettings(epsilon=EPSILON)), device)
    return lambda: void(trainer.run_epoch(void, void, void))


def void(*_: object) -> None:
    """Take what an epoch reports, and do nothing."""


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Let matrix products and convolutions in float32 round their factors to TF32, or not; no matter on a CPU."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def in_tf32(run: Callable[[], object], allowed: bool) -> None:
    with tf32(allowed):
        run()


def operations_an_image(model: nn.Module, images: Tensor) -> float:
    """Return the floating-point operations of a plain step per image; with batch statistics ours makes one pass less.

    Those of a forward pass are counted by torch. A step makes one without gradients, two a step of the attack (the
    pass back, to the images alone, costs as much), and six for two passes forward and back, weights included.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(images[:1])
    return float(counter.get_total_flops() * (1 + 2 * ATTACK_STEPS + 6))


def main() -> None:
    arguments = parser(__doc__, ("convnet", "resnet-18"), count=5, rounds=5)
    arguments.add_argument("--batch", type=int, default=128, help="images per step; --count is the steps per round")
    arguments.add_argument("--faster", action="store_true", help="add attack_precision, channels_last and compile")
    arguments.add_argument("--peak", type=float, metavar="TFLOP/S", help="what the device could do")
    options = arguments.parse_args()
    settle(options.threads)
    device = torch.device(options.device)
    print_conditions()
    images, labels = (column.to(device) for column in load_images(options.images))
    shape = (images.shape[2], images.shape[3], images.shape[1])
    table = []
    for net in options.nets:
        width = 16 if net == "convnet" else None
        model = build_model(ArchitectureSettings(name=net, width=width), shape, int(labels.max()) + 1).to(device)
        operations = operations_an_image(model.eval(), images)
        print(f"{net}: {operations / 1e9:.2f} GFLOP an image\n", flush=True)
        methods = loops(model, images, labels, options)
        for warm_up in [*methods.values()] * 2:  # a compiled network is compiled again when it is first seen anew
            warm_up()
        times = clock(methods, options.rounds)
        for name, clocked in times.items():
            seconds = clocked.process if device.type == "cpu" else clocked.wall
            rate = options.count * options.batch / min(seconds)
            share = [f"{rate * operations / (options.peak * 1e12):.1%}"] if options.peak else []
            mode = OURS_IN_EVAL_MODE if name.startswith(PLAIN) and WITH_STATISTICS not in name else OURS
            ours = times[mode + (IN_TF32 if name.endswith(IN_TF32) else "")]
            ratios = [ratio(*pair) for pair in zip(clocked, ours, strict=True)]
            table.append([f"{net}, batch {options.batch}, {name}", f"{rate:.0f}", *share, *ratios])
    share = [f"of {options.peak:g} TFLOP/s"] if options.peak else []
    unit = "images / CPU s" if device.type == "cpu" else "images / s"
    print_table(["loop", unit, *share, "time / ours in that mode, wall", "the same, CPU"], table)


def loops(
    model: nn.Module, images: Tensor, labels: Tensor, options: argparse.Namespace
) -> dict[str, Callable[[], object]]:
    """Return what is clocked, each with a copy of the model."""
    device, batch, count = images.device, options.batch, options.count
    methods: dict[str, Callable[[], object]] = {}
    for allowed, suffix in ((False, ""), (True, IN_TF32))[: 1 if device.type == "cpu" else 2]:
        for name in (PLAIN, WITH_STATISTICS):
            steps = plain_steps(copy.deepcopy(model), images, labels, batch, in_eval_mode=name == PLAIN)
            methods[name + suffix] = partial(in_tf32, partial(steps, count), allowed)
        for name, given in ((OURS_IN_EVAL_MODE, {"attack_statistics": "running"}), (OURS, {})):
            epoch = our_steps(copy.deepcopy(model), images, labels, batch, count, device, given)
            methods[name + suffix] = partial(in_tf32, epoch, allowed)
    faster: dict[str, Any] = {}
    for name, more in zip(FASTER, FASTER_OPTIONS, strict=True) if options.faster else ():
        faster |= more
        epoch = our_steps(copy.deepcopy(model), images, labels, batch, count, device, dict(faster))
        methods[name] = partial(in_tf32, epoch, False)
    return methods


if __name__ == "__main__":
    main()
