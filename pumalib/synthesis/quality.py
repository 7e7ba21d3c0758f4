"""Checks of generated images: are they copies of the images that the generator was trained on?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pumalib.errors import DataError

_NEAR_QUANTILE = 0.01


class CopyCounts(NamedTuple):
    """Signs of copying among the synthetic rows."""

    near_distance: float
    """The 1 % quantile of the held-out distances."""
    num_nearer: int
    """Synthetic rows strictly nearer than that."""
    num_copies: int
    """Synthetic rows at distance 0 from a train row."""
    num_held_out_copies: int
    """Held-out rows at distance 0: duplicates between the splits."""


def count_copies(synthetic: NDArray[np.float32], held_out: NDArray[np.float32]) -> CopyCounts:
    """Count synthetic rows that are copies, or nearer than nearly all held-out rows.

    Args:
        synthetic: Distance of each synthetic row to its nearest train row, float32 [M], L2, pixel scale.
        held_out: The same for test rows, float32 [N].

    Raises:
        DataError: If either is empty, negative or not finite.
    """
    for name, distances in (("synthetic", synthetic), ("held-out", held_out)):
        if len(distances) == 0 or not np.isfinite(distances).all() or distances.min() < 0:
            raise DataError(f"expected at least one {name} distance, all finite and not negative")
    near = float(np.quantile(held_out.astype(np.float64), _NEAR_QUANTILE))
    num_copies, num_held_out_copies = (int((distances == 0).sum()) for distances in (synthetic, held_out))
    return CopyCounts(near, int((synthetic < near).sum()), num_copies, num_held_out_copies)


def nearest_distances(
    queries: NDArray[np.uint8], references: NDArray[np.uint8], block: int = 1024
) -> NDArray[np.float32]:
    """Measure the L2 distance of each query image to its nearest reference image.

    Generated images that lie much nearer to a train row than held-out test images do are copies.

    Args:
        queries: [M, H, W, C] uint8.
        references: [N, H, W, C] uint8, N >= 1.
        block: images of either side compared at once; memory only, not the result.

    Returns:
        [M] float32, L2 norm of the difference on the pixel scale [0, 1].
    """
    if queries.shape[1:] != references.shape[1:]:
        raise ValueError(f"expected images of one shape, got {queries.shape} and {references.shape}")
    if not len(references):
        raise ValueError("expected one or more reference images, got none")
    nearest = [
        _nearest_in_block(flattened(queries[start : start + block]), references, block)
        for start in tqdm(range(0, len(queries), block), desc="measuring distances", unit="block", disable=None)
    ]
    return np.concatenate([np.empty(0, np.float32), *nearest])


def _nearest_in_block(queries: NDArray[np.float64], references: NDArray[np.uint8], block: int) -> NDArray[np.float32]:
    nearest = np.full(len(queries), np.inf)
    for start in range(0, len(references), block):
        squared = squared_distances(queries, flattened(references[start : start + block]))
        np.minimum(nearest, squared.min(axis=1), out=nearest)
    distances: NDArray[np.float32] = (np.sqrt(nearest) / 255).astype(np.float32)
    return distances


def squared_distances(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return all squared distances, exact: products and sums of 8-bit levels are whole numbers below 2^53."""
    squared: NDArray[np.float64] = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T
    return squared


def flattened(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return images [N, H, W, C] as rows of levels [N, D]."""
    return images.reshape(len(images), -1).astype(np.float64)
