"""How varied generated images are beside real ones, on their pixels.

Source: Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models", eq. 3 to 5 and 10, for
density and coverage. They look at features of a network. Pixels need none, and are a choice of ours. So is the
distance between neighbours of a class.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pumalib.errors import DataError
from pumalib.synthesis.quality import flattened, squared_distances


class Diversity(NamedTuple):
    """Density and coverage of a set of generated images."""

    density: float
    """How many balls around real images a generated one lies in, over the number expected: above 1, where real images
    are dense."""
    coverage: float
    """Share of real images with a generated one in their ball."""


def density_and_coverage(
    real: NDArray[np.uint8], generated: NDArray[np.uint8], neighbours: int = 5, block: int = 1024
) -> Diversity:
    """Measure density and coverage.

    The ball of a real image reaches to its nearest other real image but `neighbours` - 1; its edge is outside.

    Args:
        real: [N, H, W, C] uint8.
        generated: [M, H, W, C] uint8.
        neighbours: k of the paper, below N.
        block: images of either side compared at once; memory only, not the result.

    Raises:
        DataError: too few real images, or no generated one.
    """
    if len(real) <= neighbours or not len(generated):
        raise DataError(
            f"expected more than {neighbours} real images, the neighbours asked for, and a generated one, got "
            f"{len(real)} and {len(generated)}"
        )
    num_inside, num_covered = 0, 0
    for rows in _blocks(real, block):
        radii = _squared_radii(rows, real, neighbours, block)
        is_covered = np.zeros(len(rows), bool)
        for others in _blocks(generated, block):
            is_inside = squared_distances(rows, others) < radii[:, None]
            num_inside += int(is_inside.sum())
            is_covered |= is_inside.any(axis=1)
        num_covered += int(is_covered.sum())
    return Diversity(num_inside / (neighbours * len(generated)), num_covered / len(real))


def _blocks(images: NDArray[np.uint8], block: int) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(images), block):
        yield flattened(images[start : start + block])


def _squared_radii(
    rows: NDArray[np.float64], real: NDArray[np.uint8], neighbours: int, block: int
) -> NDArray[np.float64]:
    """Return the squared distance of each row to its nearest real images' last; the row itself is one of these."""
    nearest = np.empty((len(rows), 0))
    for others in _blocks(real, block):
        found = np.concatenate([nearest, squared_distances(rows, others)], axis=1)
        nearest = np.partition(found, min(neighbours, found.shape[1] - 1), axis=1)[:, : neighbours + 1]
    radii: NDArray[np.float64] = nearest.max(axis=1)
    return radii


def expected_coverage(num_real: int, num_generated: int, neighbours: int = 5) -> float:
    """Return the mean coverage of a generator that draws as the real images were drawn (Naeem et al. 2020, eq. 10)."""
    missed = [(num_real - 1 - place) / (num_real + num_generated - 1 - place) for place in range(neighbours)]
    return 1 - math.prod(missed)


def neighbour_ratio(
    real: NDArray[np.uint8],
    real_labels: NDArray[np.int64],
    generated: NDArray[np.uint8],
    labels: NDArray[np.int64],
    generator: np.random.Generator,
) -> float:
    """Return how far generated images lie from the nearest other one of their class, over the same of real images.

    Distances to the nearest shrink as images grow more. So of each class as many are drawn of either side.

    Args:
        real: [N, H, W, C] uint8.
        real_labels: [N].
        generated: [M, H, W, C] uint8.
        labels: [M].
        generator: draws the images of the larger side.

    Returns:
        Mean L2 distance over mean L2 distance; below 1: less varied than real images. nan where no class has two images
        on both sides, or all real ones are equal.
    """
    sums = np.zeros(2)
    for label in np.unique(labels):
        own = [np.flatnonzero(each == label) for each in (labels, real_labels)]
        count = min(map(len, own))
        if count >= 2:
            drawn = [np.sort(generator.permutation(rows)[:count]) for rows in own]
            sums += [_sum_to_nearest_other(images[rows]) for images, rows in zip((generated, real), drawn, strict=True)]
    return float(sums[0] / sums[1]) if sums[1] > 0 else math.nan


def _sum_to_nearest_other(images: NDArray[np.uint8], block: int = 1024) -> float:
    radii = [np.sqrt(_squared_radii(rows, images, 1, block)) for rows in _blocks(images, block)]
    return float(np.concatenate(radii).sum())
