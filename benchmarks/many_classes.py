"""Margins where there are many classes: what each estimator takes, and how tight it is, at 10, 100 and 1,000 classes.

    OMP_NUM_THREADS=1 python benchmarks/many_classes.py --images FILE.npz [--classes 10 100 1000] [--count 100]

The features of a convnet of width 16, trained adversarially on the classes of the file, are kept. The class of an image
is then which of K other images has the nearest features: K logits by a linear layer, the same features at every K.
Rightly classified images, L-inf. `over the best` is the mean distance over the shortest that any method found, image by
image. Passes are forward and backward ones of an image, counted. The table stands in docs/margins.md.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from margins import Counted
from nets import load_images, parser, settle, train_briefly
from numpy.typing import NDArray
from rounds import Clocked, clock, print_conditions, print_table
from torch import Tensor, nn

from pumalib import ArchitectureSettings, build_model, deepfool_margins, fast_margins, refined_margins
from pumalib.attacks.deepfool_published import published_deepfool_margins

EPSILON = 8 / 255
STEPS = 600
Margins = Callable[[nn.Module, Tensor, Tensor], NDArray[np.float32]]
METHODS: dict[str, Margins] = {
    "fast margin": lambda *task: fast_margins(*task).margin,
    "DeepFool, 10 candidates": lambda *task: deepfool_margins(*task).margin,
    "DeepFool, all classes": lambda *task: deepfool_margins(*task, num_candidates=1000).margin,
    "DeepFool as published": lambda *task: published_deepfool_margins(*task).margin,
    "refined": lambda *task: refined_margins(*task).margin,
    "refined, 32 steps, 5 restarts": lambda *task: refined_margins(*task, refinement_steps=32, restarts=5).margin,
}
SLOW = {"DeepFool, all classes": 100, "DeepFool as published": 100}
"""Up to how many classes a method runs here."""


class NearestImage(nn.Module):
    """Classes that are images: the nearest one in the features of a network.

    Args:
        features: maps images to [B, D].
        anchors: features [K, D] of the images.
    """

    def __init__(self, features: nn.Module, anchors: Tensor) -> None:
        super().__init__()
        self.features, self.last = features, nn.Linear(anchors.shape[1], len(anchors))
        self.last.weight.data.copy_(2 * anchors)
        self.last.bias.data.copy_(-(anchors**2).sum(1))

    def forward(self, images: Tensor) -> Tensor:
        """Return minus the squared distances to the anchors, but for what is the same for all classes."""
        logits: Tensor = self.last(self.features(images))
        return logits


def main() -> None:
    """Print a table for each number of classes."""
    arguments = parser(__doc__, ("convnet",), 100, 3)
    arguments.add_argument("--classes", type=int, nargs="+", default=[10, 100, 1000])
    options = arguments.parse_args()
    settle(options.threads)
    print_conditions()
    images, labels = load_images(options.images)
    shape = (images.shape[2], images.shape[3], images.shape[1])
    torch.manual_seed(0)
    network = build_model(ArchitectureSettings(name="convnet", width=16), shape, int(labels.max()) + 1, 0)
    rows, others = images[: options.count], images[options.count :]
    train_briefly(network, others, labels[options.count :], STEPS, EPSILON)
    features = without_last_layer(network)
    for count in options.classes:
        with torch.no_grad():
            model = NearestImage(features, features(others[-count:])).eval().requires_grad_(False)
            classes = model(rows).argmax(1)
        print(f"{count} classes\n")
        print_table(
            ["estimator", "passes per image", "ms per image", "mean distance", "over the best, %"],
            lines_of(model, rows, classes, options.rounds),
        )
        print()


def without_last_layer(network: nn.Module) -> nn.Module:
    """Return a network that gives what goes into its last linear layer."""
    name = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)][-1]
    network.set_submodule(name, nn.Identity())
    return network.eval()


def lines_of(model: nn.Module, images: Tensor, labels: Tensor, rounds: int) -> list[list[str]]:
    """Return a line per method."""
    methods = {
        name: method for name, method in METHODS.items() if int(model(images[:1]).shape[1]) <= SLOW.get(name, 1e9)
    }
    margins, passes = dict[str, NDArray[np.float32]](), dict[str, float]()
    for name, method in methods.items():
        counted = Counted(model).eval()
        margins[name] = np.abs(method(counted, images, labels))
        passes[name] = counted.passes / len(images)
    best = np.min(list(margins.values()), axis=0)
    times = clock({name: lambda m=method: m(model, images, labels) for name, method in methods.items()}, rounds)
    return [
        [name, f"{passes[name]:.0f}", f"{_milliseconds(times[name], len(images)):.1f}", f"{margin.mean():.4f}",
         f"{100 * float((margin / best - 1).mean()):.1f}"]
        for name, margin in margins.items()
    ]  # fmt: skip


def _milliseconds(times: Clocked, count: int) -> float:
    return 1e3 * min(times.process) / count


if __name__ == "__main__":
    main()
