"""Checks of generated images: are they copies of the images that the generator was trained on?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm


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
        _nearest_in_block(_flatten(queries[start : start + block]), references, block)
        for start in tqdm(range(0, len(queries), block), desc="measuring distances", unit="block", disable=None)
    ]
    return np.concatenate([np.empty(0, np.float32), *nearest])


def _nearest_in_block(queries: NDArray[np.float64], references: NDArray[np.uint8], block: int) -> NDArray[np.float32]:
    nearest = np.full(len(queries), np.inf)
    for start in range(0, len(references), block):
        squared = _squared_distances(queries, _flatten(references[start : start + block]))
        np.minimum(nearest, squared.min(axis=1), out=nearest)
    distances: NDArray[np.float32] = (np.sqrt(nearest) / 255).astype(np.float32)
    return distances


def _squared_distances(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return all squared distances, exact: products and sums of 8-bit levels are whole numbers below 2^53."""
    squared: NDArray[np.float64] = (left**2).sum(1)[:, None] + (right**2).sum(1) - 2 * left @ right.T
    return squared


def _flatten(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return images.reshape(len(images), -1).astype(np.float64)
