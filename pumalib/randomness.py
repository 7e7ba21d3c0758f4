"""Random numbers that depend on what they are for, never on batch size or on what else was drawn."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray


def derive_seed(seed: int, *keys: str | int) -> int:
    """Derive an independent 63-bit seed for a purpose, e.g. ``derive_seed(0, "order", epoch)``."""
    text = "/".join([str(seed), *map(str, keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def numpy_generator(seed: int, *keys: str | int) -> np.random.Generator:
    """Return a NumPy generator of its own for (seed, keys)."""
    return np.random.Generator(np.random.Philox(key=derive_seed(seed, *keys)))


def _row_generator(key: int, row: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, int(row), 0]))


def normal_per_row(seed: int, rows: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw standard normal noise [len(rows), *shape], each row from its own stream."""
    key = derive_seed(seed, "normal")
    noise = np.empty((len(rows), *shape), np.float32)
    for index, row in enumerate(rows):
        noise[index] = _row_generator(key, row).standard_normal(shape, np.float32)
    return noise


def uniform_per_row(seed: int, rows: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw noise uniform in [-1, 1), [len(rows), *shape], each row from its own stream."""
    key = derive_seed(seed, "uniform")
    noise = np.empty((len(rows), *shape), np.float32)
    for index, row in enumerate(rows):
        noise[index] = 2 * _row_generator(key, row).random(shape, np.float32) - 1
    return noise
