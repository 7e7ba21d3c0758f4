"""Small networks for benchmarks, trained adversarially for a minute or less, and images that they have not seen."""

from __future__ import annotations

import argparse
import os
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.datasets import load_digits
from torch import Tensor, nn

from pumalib import ArchitectureSettings, build_model
from pumalib.data.sources.npz import read_npz
from pumalib.jobs.devices import keep_freed_memory, use_precision

STEPS = {"convnet": 300, "small-cnn": 300, "resnet-18": 60}
"""Training steps of 64 images each; other architectures take 60."""


class Task(NamedTuple):
    """A network and images to attack it on.

    Attributes:
        name: architecture.
        model: in eval mode, on the device.
        images: [N, C, H, W] float32 in [0, 1].
        labels: [N] int64.
    """

    name: str
    model: nn.Module
    images: Tensor
    labels: Tensor


def parser(description: str | None, nets: tuple[str, ...], count: int, rounds: int) -> argparse.ArgumentParser:
    """Return the arguments that all benchmarks of networks take."""
    arguments = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    arguments.add_argument("--images", default=os.environ.get("PUMA_BENCH_IMAGES"), metavar="FILE.npz",
                           help="images with `image` uint8 [N, H, W, C] and `label`; none: digits")  # fmt: skip
    arguments.add_argument("--nets", nargs="+", default=list(nets), help="architectures")
    arguments.add_argument("--count", type=int, default=count, help="images attacked")
    arguments.add_argument("--rounds", type=int, default=rounds, help="interleaved rounds")
    arguments.add_argument("--threads", type=int, default=1, help="CPU threads")
    arguments.add_argument("--device", default="cpu")
    return arguments


def settle(threads: int) -> None:
    """Take so many CPU threads, float32 for what it says, and keep the memory that is freed, as jobs do."""
    torch.set_num_threads(threads)
    use_precision(tf32=False)
    keep_freed_memory()


def load_images(path: str | None) -> tuple[Tensor, Tensor]:
    """Return images [N, C, H, W] float32 in [0, 1] and labels [N], in an order of their own."""
    if path is None:
        digits = load_digits()
        images, labels = digits.images[..., None] / 16, digits.target
    else:
        table = read_npz(path)
        images, labels = table.images / 255, table.labels
    order = np.random.default_rng(0).permutation(len(labels))
    pixels = torch.from_numpy(images[order]).permute(0, 3, 1, 2).float().contiguous()
    return pixels, torch.from_numpy(labels[order]).long()


def prepare(name: str, arguments: argparse.Namespace, epsilon: float) -> Task:
    """Train a network on all images but the last ones, by FGSM from a random start, and return those with it."""
    images, labels = load_images(arguments.images)
    count = min(arguments.count, len(labels) // 4)
    device = torch.device(arguments.device)
    shape = (images.shape[2], images.shape[3], images.shape[1])
    width = 16 if name == "convnet" else None
    model = build_model(ArchitectureSettings(name=name, width=width), shape, int(labels.max()) + 1).to(device)
    train_briefly(model, images[:-count].to(device), labels[:-count].to(device), STEPS.get(name, 60), epsilon)
    return Task(name, model, images[-count:].to(device), labels[-count:].to(device))


def train_briefly(model: nn.Module, images: Tensor, labels: Tensor, steps: int, epsilon: float) -> None:
    """Train with one attack step from a random start and leave the model in eval mode."""
    generator = torch.Generator(images.device).manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    model.train()
    for _ in range(steps):
        rows = torch.randint(len(images), (64,), generator=generator, device=images.device)
        noise = torch.rand(images[rows].shape, generator=generator, device=images.device) * 2 - 1
        start = (images[rows] + epsilon * noise).clamp(0, 1).requires_grad_(True)
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(start), labels[rows]), start)
        attacked = (start.detach() + 1.25 * epsilon * gradient.sign() - images[rows]).clamp(-epsilon, epsilon)
        optimizer.zero_grad()
        F.cross_entropy(model((images[rows] + attacked).clamp(0, 1)), labels[rows]).backward()
        optimizer.step()
    model.eval()
    model.zero_grad()


@torch.no_grad()
def rightly_classified(task: Task) -> Task:
    """Return the task with those images alone that the model has right."""
    right = task.model(task.images).argmax(1) == task.labels
    return task._replace(images=task.images[right], labels=task.labels[right])
