"""How far margins extrapolated from a share of the rows are from measured ones, and what they cost.

    OMP_NUM_THREADS=1 python benchmarks/extrapolated.py [--images cifar10-train.npz] [--seeds 2 3] [--nets convnet mlp]

Networks on digits, trained on all of them, naturally and adversarially (L-inf 0.1): a convnet of width 16 and an MLP
(64-32-32-10). The rows are those that they were trained on, as the rows of a pool are. With `--images`, a small-cnn on
the first images of the file, adversarially at 8/255, instead. Each line holds ranks against the DeepFool margins of all
rows: `cut shared` is the share of the easiest 20 % that both cut. Orders at equal passes are of rows that DeepFool
measures as well, and of the others by the logit margin, or by chance. The tables stand in docs/margins.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from nets import STEPS, load_images, settle, train_briefly
from numpy.typing import NDArray
from rounds import print_conditions, print_table
from scipy import stats
from torch import Tensor, nn

from pumalib import ArchitectureSettings, build_model, deepfool_margins, extrapolated_margins, refined_margins
from pumalib.attacks.extrapolation import HeldBack, look_at
from pumalib.models.network import Network

EPSILONS = {"digits": {"natural": 0.0, "adversarial": 0.1}, "images": {"natural": 0.0, "adversarial": 8 / 255}}
CUT = 0.2
Trained = tuple[nn.Module, Tensor, Tensor]


class Compared(NamedTuple):
    """One estimate held against DeepFool on all rows.

    Attributes:
        agreement: Spearman's rank correlation, over the rows that the estimate did not measure.
        error: mean absolute difference over these, as a share of the mean absolute margin; nan: no margins.
        shared: of the easiest fifth of all rows, as both cut it.
        passes: of those that DeepFool takes for all rows.
        held_back: what the estimate told of itself; nan: nothing.
    """

    agreement: float
    error: float
    shared: float
    passes: float
    held_back: tuple[float, float] = (np.nan, np.nan)


def trained(net: str, epsilon: float, seed: int, chosen: argparse.Namespace) -> Trained:
    """Return a network and the rows to measure, on which it was trained."""
    images, labels = load_images(chosen.images)
    torch.manual_seed(seed)
    if net == "mlp":
        layers = (nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
        model: nn.Module = nn.Sequential(*layers)
    else:
        shape = (images.shape[2], images.shape[3], images.shape[1])
        width = 16 if net == "convnet" else None
        model = build_model(ArchitectureSettings(name=net, width=width), shape, int(labels.max()) + 1, seed)
    train_briefly(model, images, labels, chosen.steps or (1500 if net == "mlp" else STEPS.get(net, 60)), epsilon)
    return model.requires_grad_(False), images[: chosen.count], labels[: chosen.count]


def compare(
    margin: NDArray[np.float32], guess: NDArray[np.floating], own: NDArray[np.bool_]
) -> tuple[float, float, float]:
    """Return rank correlation and mean error over the rows not measured [N], and how much of a cut is shared."""
    count, others = round(CUT * len(margin)), ~own
    cuts = [set(np.argsort(-values, kind="stable")[:count].tolist()) for values in (margin, guess)]
    agreement = float(stats.spearmanr(margin[others], guess[others]).statistic)
    error = float(np.abs(margin - guess)[others].mean() / np.abs(margin).mean())
    return agreement, error, len(cuts[0] & cuts[1]) / count


def compared(network: Trained, seed: int) -> Iterator[tuple[str, Compared]]:
    """Yield each estimate of the margins of one network."""
    model, images, labels = network
    whole = deepfool_margins(*network)
    margin, passes = whole.margin, (whole.forwards + whole.backwards).sum()
    none = np.zeros(len(margin), bool)
    lead = np.concatenate(
        [look_at(Network(model), *part).lead for part in zip(images.split(500), labels.split(500), strict=True)]
    )
    chance = np.random.default_rng(seed).permutation(len(margin)).astype(np.float64)
    for name, guess, cost in [("random order", chance, 0), ("logit margin alone", lead, len(margin) / passes)]:
        agreement, _, shared = compare(margin, guess, none)
        yield name, Compared(agreement, np.nan, shared, cost)
    for fraction in (0.05, 0.1, 0.2):
        found = extrapolated_margins(*network, fraction=fraction, least_agreement=-1, seed=seed)
        cost = (found.table.forwards + found.table.backwards).sum() / passes
        told: HeldBack = found.held_back
        values = compare(margin, found.table.margin, found.measured)
        yield f"extrapolated, {fraction:.0%} measured", Compared(*values, cost, (told.agreement, told.error))
        if fraction == 0.1:
            scale = np.abs(margin[found.measured]).mean() / np.abs(lead[found.measured]).mean()
            guess = np.where(found.measured, margin, scale * lead)
            yield "logit margin, 10% measured", Compared(*compare(margin, guess, found.measured), cost)
    for name, other in (
        ("DeepFool, overshoot 0.05", deepfool_margins(*network, overshoot=0.05)),
        ("refined", refined_margins(*network)),
    ):
        cost = (other.forwards + other.backwards).sum() / passes
        yield name, Compared(*compare(margin, other.margin, none), cost)


def line(training: str, name: str, parts: list[Compared]) -> list[str]:
    """Return the cells of one line: means over networks."""
    agreement, error, shared, passes = (float(np.mean([part[place] for part in parts])) for place in range(4))
    told = np.mean([part.held_back for part in parts], axis=0)
    numbers = [f"{agreement:.3f}", _share(error), f"{shared:.0%}", f"{passes:.1%}"]
    return [training, name, *numbers, "-" if np.isnan(told[0]) else f"{told[0]:.3f}", _share(float(told[1]))]


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.1%}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--images", metavar="FILE.npz", help="images with `image` and `label`; none: digits")
    arguments.add_argument("--seeds", nargs="+", type=int, default=[2, 3], help="of the networks and draws")
    arguments.add_argument("--nets", nargs="+", help="architectures; none: convnet and mlp, of images small-cnn")
    arguments.add_argument("--count", type=int, default=4000, help="rows at most")
    arguments.add_argument("--steps", type=int, help="training steps of 64 images; none: as `nets` has them")
    chosen = arguments.parse_args()
    settle(1)
    print_conditions("scikit-learn")
    header = ["training", "order", "Spearman", "mean error", "cut shared", "passes", "held back: Spearman", "error"]
    for net in chosen.nets or (["small-cnn"] if chosen.images else ["convnet", "mlp"]):
        lines = []
        for training, epsilon in EPSILONS["images" if chosen.images else "digits"].items():
            networks = [trained(net, epsilon, seed, chosen) for seed in chosen.seeds]
            found = [list(compared(network, seed)) for network, seed in zip(networks, chosen.seeds, strict=True)]
            lines += [line(training, parts[0][0], [part for _, part in parts]) for parts in zip(*found, strict=True)]
            wrong = [float((network[0](network[1]).argmax(1) != network[2]).float().mean()) for network in networks]
            print(f"{net}, {training}: {len(networks[0][2])} rows, {np.mean(wrong):.1%} misclassified", flush=True)
        print(f"\n{net}, seeds {' '.join(map(str, chosen.seeds))}\n")
        print_table(header, lines)


if __name__ == "__main__":
    main()
