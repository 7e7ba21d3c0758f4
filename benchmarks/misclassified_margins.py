"""How far margins of misclassified samples lie above the optimum, on a linear model where a linear program gives it.

    python benchmarks/misclassified_margins.py

The table stands in docs/architecture.md, with the date and the machine.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linprog

from pumalib import deepfool_margins, fast_margins

NUM_CLASSES, NUM_INPUTS, NUM_SAMPLES = 10, 64, 300


def smallest_perturbation(weight: np.ndarray, bias: np.ndarray, image: np.ndarray, label: int, in_box: bool) -> float:
    """Solve: the smallest L-inf perturbation after which no class is more likely than the label."""
    logits = weight @ image + bias
    others = [k for k in range(len(bias)) if k != label]
    identity, column = np.eye(len(image)), np.ones((len(image), 1))
    rows = [
        np.c_[weight[others] - weight[label], np.zeros(len(others))],
        np.c_[identity, -column],
        np.c_[-identity, -column],
    ]
    limits = np.r_[logits[label] - logits[others], np.zeros(2 * len(image))]
    bounds = [(-pixel, 1 - pixel) if in_box else (None, None) for pixel in image] + [(0, None)]
    result = linprog(np.r_[np.zeros(len(image)), 1], A_ub=np.vstack(rows), b_ub=limits, bounds=bounds)
    return float(result.x[-1]) if result.success else float("nan")


def main() -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    model = torch.nn.Linear(NUM_INPUTS, NUM_CLASSES).eval()
    model.weight.data = torch.randn(NUM_CLASSES, NUM_INPUTS, generator=generator)
    model.bias.data = torch.randn(NUM_CLASSES, generator=generator)
    images = torch.rand(NUM_SAMPLES, NUM_INPUTS, generator=generator)
    labels = torch.randint(0, NUM_CLASSES, (NUM_SAMPLES,), generator=generator)
    weight, bias = model.weight.detach().double().numpy(), model.bias.detach().double().numpy()
    print("| box | method | mean excess | median | largest | converged |\n|:--|:--|--:|--:|--:|--:|")
    for in_box in (False, True):
        clip = (0.0, 1.0) if in_box else None
        for name, method in (("DeepFool", deepfool_margins), ("fast margin", fast_margins)):
            table = method(model, images, labels, clip=clip)
            wrong = np.flatnonzero(table.prediction != labels.numpy())
            best = [
                smallest_perturbation(weight, bias, images[i].double().numpy(), int(labels[i]), in_box) for i in wrong
            ]
            excess = -table.margin[wrong] / np.array(best) - 1
            numbers = f"{np.nanmean(excess):.2%} | {np.nanmedian(excess):.2%} | {np.nanmax(excess):.2%}"
            print(f"| {'[0, 1]' if in_box else 'none'} | {name} | {numbers} | {table.converged.mean():.0%} |")


if __name__ == "__main__":
    main()
