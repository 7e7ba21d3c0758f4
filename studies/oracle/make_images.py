"""Draw images whose Bayes classifier is known, and write it as a network: then true margins exist.

    python studies/oracle/make_images.py --out data/oracle

Each of ten classes has a mean image: grey, and a wave of low frequency. Given the class, pixels are independent, and a
pixel has level l of 0 ... 255 with probability proportional to exp(-(l / 255 - mean)^2 / (2 noise^2)). The log
probabilities of two classes then differ by a linear function of the image: not nearly, but exactly, rounding and the
ends of the pixel scale included. So the best classifier that there can be is linear, and the distance of an image to
its boundary is known. `bayes.safetensors` holds it, for `studies.oracle.bayes:Bayes`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

SIDE, CLASSES = 16, 10
AMPLITUDE, NOISE = 0.035, 0.14
"""Of the waves and of the noise, on the pixel scale: the Bayes classifier has 98 % of the images right."""
LEVELS = np.arange(256) / 255

Floats = NDArray[np.float64]


def mean_images() -> Floats:
    """Return the mean image of each class, [classes, pixels]: the ten lowest frequencies of the cosine transform."""
    places = (np.arange(SIDE) + 0.5) / SIDE
    waves = np.cos(np.pi * np.arange(SIDE)[:, None] * places)  # [frequency, place]
    pairs = sorted(((high, wide) for high in range(SIDE) for wide in range(SIDE)), key=lambda pair: (sum(pair), pair))
    images = np.stack([np.outer(waves[high], waves[wide]).ravel() for high, wide in pairs[1 : CLASSES + 1]])
    size = np.sqrt((images**2).mean(1, keepdims=True))
    means: Floats = 0.5 + AMPLITUDE * images / size
    return means


def log_probabilities(means: Floats) -> Floats:
    """Return the log probability of each level, [classes, pixels, 256]."""
    exponent = -((LEVELS - means[..., None]) ** 2) / (2 * NOISE**2)
    logs: Floats = exponent - np.log(np.exp(exponent).sum(-1, keepdims=True))
    return logs


def bayes_network(means: Floats) -> tuple[Floats, Floats]:
    """Return weights [classes, pixels] and biases [classes] whose outputs are the log probabilities but for a shift."""
    weights: Floats = means / NOISE**2
    biases: Floats = log_probabilities(means)[..., 0].sum(1)  # the output at the image of level 0
    return weights, biases


def draw(means: Floats, count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images [count, side, side, 1] and labels [count], each class as often as the others."""
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(count) % CLASSES)
    below = np.exp(log_probabilities(means)).cumsum(-1)  # [classes, pixels, 256]
    levels = np.empty((count, SIDE * SIDE), np.uint8)
    for label in range(CLASSES):
        rows = np.flatnonzero(labels == label)
        for pixel in range(SIDE * SIDE):
            drawn = np.searchsorted(below[label, pixel], generator.random(len(rows)), side="right")
            levels[rows, pixel] = np.minimum(drawn, 255)
    return levels.reshape(count, SIDE, SIDE, 1), labels


def main() -> None:
    """Write train.npz, test.npz and bayes.safetensors."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    arguments.add_argument("--out", type=Path, default=Path("data/oracle"))
    arguments.add_argument("--train", type=int, default=60_000)
    arguments.add_argument("--test", type=int, default=10_000)
    chosen = arguments.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    means = mean_images()
    for name, count, seed in (("train", chosen.train, 0), ("test", chosen.test, 1)):
        images, labels = draw(means, count, seed)
        np.savez_compressed(chosen.out / f"{name}.npz", image=images, label=labels)
    weights, biases = bayes_network(means)
    tensors = {"linear.weight": weights.astype(np.float32), "linear.bias": biases.astype(np.float32)}
    save_file(tensors, chosen.out / "bayes.safetensors")


if __name__ == "__main__":
    main()
